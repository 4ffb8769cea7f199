// Charts: a figure's data stand beside it as JSON; Plotly is fetched when the first one is to be drawn.
let plotly = null;

function load() {
  plotly ??= window.Plotly ?? new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = new URL("plotly.min.js", import.meta.url);
    script.onload = () => done(window.Plotly);
    script.onerror = failed;
    document.head.append(script);
  });
  return plotly;
}

export async function drawAll(within) {
  const places = [...within.querySelectorAll("[data-chart]")];
  if (within.matches?.("[data-chart]")) places.push(within);
  if (!places.length) return;
  const Plotly = await load();
  for (const place of places) draw(Plotly, place);
}

function draw(Plotly, place) {
  const figure = JSON.parse(place.querySelector("script[type='application/json']").textContent);
  let box = place.querySelector(".plot");
  if (!box) {
    box = document.createElement("div");
    box.className = "plot";
    place.append(box);
  }
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const layout = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), family: colour("--sans"), size: 12 },
    margin: { l: 48, r: 12, t: 12, b: 40 },
    hovermode: "closest",
    ...figure.layout,
  };
  for (const axis of ["xaxis", "yaxis"]) layout[axis] = { gridcolor: colour("--line"), zeroline: false, ...layout[axis] };
  const text = JSON.stringify(figure.data).replace(/"var\((--[a-z]+)\)"/g, (_, name) => JSON.stringify(colour(name)));
  Plotly.react(box, JSON.parse(text), layout, { displaylogo: false, responsive: true, displayModeBar: false });
}
