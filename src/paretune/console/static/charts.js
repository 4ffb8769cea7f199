// Charts: a figure's data stand beside it as JSON; Plotly is fetched when the first one is to be drawn. Colours are
// names of the page's own ("var(--ink)"), also with a share of it ("var(--ink) 20%"). A point whose `customdata` is an
// address of this console opens it.
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

// Only what can be seen is drawn; the rest when it comes near.
const near = new IntersectionObserver(
  (seen) => {
    for (const { target, isIntersecting } of seen) {
      target.near = isIntersecting;
      if (isIntersecting && target.due) draw(target);
    }
  },
  { rootMargin: "300px" },
);

export function drawAll(within) {
  const places = [...within.querySelectorAll("[data-chart]")];
  if (within.matches?.("[data-chart]")) places.push(within);
  for (const place of places) {
    place.due = true;
    if (place.near) draw(place);
    else near.observe(place);
  }
}

async function draw(place) {
  place.due = false;
  const Plotly = await load();
  if (!place.isConnected) return;
  const figure = JSON.parse(place.querySelector("script[type='application/json']").textContent);
  let box = place.querySelector(".plot");
  if (!box) {
    box = document.createElement("div");
    box.className = "plot";
    place.append(box);
  }
  const { data, layout } = coloured(figure);
  await Plotly.react(box, data, whole(layout, box), { displaylogo: false, responsive: true, displayModeBar: false });
  if (box.opens) return;
  box.opens = true;
  box.on("plotly_click", ({ points }) => {
    const address = points[0]?.customdata;
    if (typeof address === "string" && /^[/?#](?!\/)/.test(address)) location.href = address;
  });
}

function coloured(figure) {
  const style = getComputedStyle(document.documentElement);
  const text = JSON.stringify(figure).replace(/"var\((--[a-z]+)\)(?: (\d+)%)?"/g, (_, name, share) => {
    const colour = style.getPropertyValue(name).trim();
    return JSON.stringify(share ? colour + Math.round(share * 2.55).toString(16).padStart(2, "0") : colour);
  });
  return JSON.parse(text);
}

function whole(layout, box) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const made = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--soft"), family: colour("--sans"), size: box.clientWidth < 500 ? 11 : 12 },
    margin: { l: 44, r: 8, t: 8, b: 40 },
    hovermode: "closest",
    hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--ink"), family: colour("--sans"), size: 12 } },
    legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom" },
    uirevision: "kept",
    ...layout,
  };
  for (const axis of Object.keys(layout ?? {}).filter((name) => /^[xy]axis\d*$/.test(name)).concat(["xaxis", "yaxis"])) {
    made[axis] = { gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true, ...layout?.[axis] };
  }
  return made;
}
