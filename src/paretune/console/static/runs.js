// The list of runs: two may be ticked to be compared, a third takes the place of the first.
export function picking() {
  const form = document.querySelector("[data-pick]");
  if (!form) return;
  let ticked = [];
  const show = () => {
    form.querySelector(".compare").disabled = ticked.length !== 2;
  };
  form.addEventListener("change", (event) => {
    if (event.target.name !== "run") return;
    ticked = ticked.filter((id) => id !== event.target.value);
    if (event.target.checked) ticked.push(event.target.value);
    for (const id of ticked.splice(0, ticked.length - 2)) {
      const box = form.querySelector(`input[value="${CSS.escape(id)}"]`);
      if (box) box.checked = false;
    }
    show();
  });
  show();
}
