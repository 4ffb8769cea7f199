// A matrix of candidates and examples on a canvas: only what is in sight is drawn, a pixel for each cell that
// is then stretched. The data stand in the page: a byte for each cell, deflated, in base64.
const LABELS = 150;
const SIZES = [2, 3, 4, 6, 8, 10, 12, 16, 20, 24];

export function start(within) {
  for (const place of within.querySelectorAll("[data-matrix]")) new Matrix(place);
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

class Matrix {
  constructor(place) {
    this.place = place;
    this.box = place.querySelector(".canvas");
    this.canvas = place.querySelector("canvas");
    this.pen = this.canvas.getContext("2d");
    this.cellsOnly = document.createElement("canvas");
    this.size = 0;
    this.left = this.top = 0;
    this.cursor = null;
    this.find = (name) => place.querySelector(name);
    this.listen();
    this.load();
  }

  listen() {
    for (const choice of this.place.querySelectorAll("select, input")) choice.addEventListener("change", () => this.arrange());
    for (const button of this.place.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => this.zoom(Number(button.dataset.zoom)));
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.listenToPointer();
    new ResizeObserver(() => this.fit()).observe(this.place);
    new MutationObserver(() => this.look()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.look());
    // A live run: the data block is put in anew.
    new MutationObserver(() => this.load()).observe(this.place, { childList: true });
  }

  listenToPointer() {
    let from = null;
    let moved = false;
    this.box.addEventListener("pointerdown", (event) => {
      from = { x: event.clientX, y: event.clientY, left: this.left, top: this.top };
      moved = false;
    });
    this.box.addEventListener("pointermove", (event) => {
      if (from && event.buttons) {
        const [x, y] = [event.clientX - from.x, event.clientY - from.y];
        moved ||= Math.hypot(x, y) > 4;
        if (moved) this.scrollTo(from.left - x, from.top - y);
      } else this.point(event);
    });
    this.box.addEventListener("pointerleave", () => (from = null));
    this.box.addEventListener("click", (event) => {
      from = null;
      if (moved) return;
      this.point(event);
      this.open(event.ctrlKey || event.metaKey);
    });
  }

  async load() {
    const text = this.find("script[type='application/json']")?.textContent;
    if (!text || text === this.text) return;
    this.text = text;
    const data = JSON.parse(text);
    const cells = await unpacked(data.cells);
    if (text !== this.text) return;
    this.data = data;
    this.cells = cells;
    this.look();
    this.arrange();
  }

  // Which rows and columns are shown, and in which order.
  arrange() {
    const { rows, examples, order } = this.data;
    const full = this.find("[data-full]")?.checked;
    this.rows = rows.map((_, at) => at).filter((at) => !full || rows[at].full);
    const columns = this.find("[data-order]").value === "disagreement" ? order : examples.map((_, at) => at);
    const keep = this.filter(this.find("[data-filter]").value);
    this.columns = columns.filter(keep);
    this.cursor = null;
    this.left = this.top = 0;
    this.find("[data-shown]").textContent =
      `${this.rows.length} × ${this.columns.length.toLocaleString("en")} of ${rows.length} × ${examples.length.toLocaleString("en")}`;
    this.fit(true);
  }

  filter(name) {
    if (name === "all") return () => true;
    const { failed, none } = this.data;
    return (column) => {
      let [solved, missed, broke] = [0, 0, 0];
      for (const row of this.rows) {
        const cell = this.at(row, column);
        if (cell === failed) broke++;
        else if (cell !== none) this.solves(cell) ? solved++ : missed++;
      }
      if (name === "failed") return broke > 0;
      if (name === "missed") return missed > 0;
      if (name === "unsolved") return !solved && missed > 0;
      return solved > 0 && missed > 0;
    };
  }

  at(row, column) {
    return this.cells[row * this.data.examples.length + column];
  }

  solves(cell) {
    return this.data.kinds ? cell < 2 : this.data.values[cell] >= Math.min(1, this.data.values.at(-1));
  }

  // Colours as the page has them.
  look() {
    if (!this.data) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.ink = { text: colour("--ink"), soft: colour("--soft"), line: colour("--line"), paper: colour("--paper"), accent: colour("--accent") };
    const named = { new: rgb(colour("--accent")), win: rgb(colour("--win")), miss: mix(rgb(colour("--line")), rgb(colour("--paper")), 0.35) };
    const [low, high] = [mix(rgb(colour("--line")), rgb(colour("--wait")), 0.25), rgb(colour("--good"))];
    this.palette = new Uint32Array(256);
    const { values, kinds, failed, none } = this.data;
    if (kinds) kinds.forEach((kind, at) => (this.palette[at] = word(named[kind])));
    else values.forEach((value, at) => (this.palette[at] = word(mix(low, high, share(value, values)))));
    this.palette[failed] = word(rgb(colour("--bad")));
    this.palette[none] = word(rgb(colour("--paper")));
    this.legend(named, low, high, colour("--bad"));
    this.draw();
  }

  legend(named, low, high, bad) {
    const { kinds, values, failed } = this.data;
    const lowest = kinds || !values.length || values[0] >= 0 ? 0 : values[0];
    const highest = kinds ? 1 : Math.max(1, values.at(-1) ?? 1);
    const parts = kinds
      ? [["first to win this example", css(named.new)], ["also wins", css(named.win)], ["does not win", css(named.miss)]]
      : [[`reward ${lowest}`, css(low)], [`${(lowest + highest) / 2}`, css(mix(low, high, 0.5))], [`${highest}`, css(high)]];
    if (this.cells.includes(failed)) parts.push(["failed", bad]);
    parts.push(["not run", "transparent"]);
    this.find("[data-legend]").replaceChildren(...parts.map(([words, colour]) => {
      const part = document.createElement("span");
      const square = document.createElement("i");
      square.className = colour === "transparent" ? "sq not_run" : "sq";
      square.style.background = colour;
      part.append(square, ` ${words}`);
      return part;
    }));
  }

  // The size of cells, unless somebody chose it: as large as lets all columns in.
  fit(anew) {
    const wide = this.place.clientWidth - 2;
    if (!this.data || wide <= 0) return;
    this.labels = Math.min(LABELS, wide * 0.34);
    if (anew && !this.chosen) {
      const room = (wide - this.labels) / Math.max(1, this.columns.length);
      this.size = [...SIZES].reverse().find((size) => size <= room) ?? 4;
      this.size = Math.max(this.size, this.rows.length > 120 ? 4 : 6);
    }
    const height = Math.max(60, Math.min(this.rows.length * this.size, innerHeight * 0.7));
    const dots = devicePixelRatio || 1;
    this.width = Math.min(wide, Math.max(240, this.labels + this.columns.length * this.size));
    this.box.style.width = `${this.width + 2}px`;
    this.height = height;
    this.canvas.width = this.width * dots;
    this.canvas.height = height * dots;
    this.canvas.style.height = `${height}px`;
    this.pen.setTransform(dots, 0, 0, dots, 0, 0);
    this.scrollTo(this.left, this.top);
  }

  zoom(by) {
    const at = SIZES.findIndex((size) => size >= this.size) + by;
    this.size = SIZES[Math.max(0, Math.min(SIZES.length - 1, at))];
    this.chosen = true;
    this.fit();
  }

  wheel(event) {
    const before = [this.left, this.top];
    const sideways = event.shiftKey && !event.deltaX;
    this.scrollTo(this.left + (sideways ? event.deltaY : event.deltaX), this.top + (sideways ? 0 : event.deltaY));
    if (before[0] !== this.left || before[1] !== this.top) event.preventDefault();
  }

  scrollTo(left, top) {
    const [wide, high] = [this.columns.length * this.size, this.rows.length * this.size];
    this.left = Math.max(0, Math.min(left, wide - (this.width - this.labels)));
    this.top = Math.max(0, Math.min(top, high - this.height));
    this.draw();
  }

  key(event) {
    const [rows, columns] = [this.rows.length, this.columns.length];
    if (!rows || !columns || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.floor((this.width - this.labels) / this.size);
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], PageUp: [0, -page], PageDown: [0, page], Home: [0, -columns], End: [0, columns] };
    if (event.key in steps) this.move(...steps[event.key]);
    else if (event.key === "Enter") this.open(false);
    else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 1 : -1);
    else return;
    event.preventDefault();
  }

  move(down, right) {
    const now = this.cursor ?? { row: 0, column: -Math.sign(right || 0) };
    const row = Math.max(0, Math.min(this.rows.length - 1, now.row + (this.cursor ? down : 0)));
    const column = Math.max(0, Math.min(this.columns.length - 1, now.column + right));
    this.cursor = { row, column };
    const [x, y, room] = [column * this.size, row * this.size, this.width - this.labels];
    if (x < this.left) this.left = x;
    if (x + this.size > this.left + room) this.left = x + this.size - room;
    if (y < this.top) this.top = y;
    if (y + this.size > this.top + this.height) this.top = y + this.size - this.height;
    this.tell();
    this.draw();
  }

  point(event) {
    if (!this.data) return;
    const at = this.canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - at.top + this.top) / this.size);
    const column = Math.floor((event.clientX - at.left - this.labels + this.left) / this.size);
    const inside = row >= 0 && column >= 0 && row < this.rows.length && column < this.columns.length;
    if (!inside || event.clientX - at.left < this.labels) return;
    if (this.cursor?.row === row && this.cursor.column === column) return;
    this.cursor = { row, column };
    this.tell();
    this.draw();
  }

  tell() {
    const { data } = this;
    const row = data.rows[this.rows[this.cursor.row]];
    const cell = this.at(this.rows[this.cursor.row], this.columns[this.cursor.column]);
    const example = data.examples[this.columns[this.cursor.column]];
    this.find("[data-cell]").textContent = `#${row.index} ${row.id}, ${example}: ${this.word(cell)}`;
  }

  word(cell) {
    const { failed, none, kinds, values, exact } = this.data;
    if (cell === failed) return "failed";
    if (cell === none) return "not run";
    return kinds ? kinds[cell] : `reward ${exact ? "" : "about "}${Number(values[cell].toFixed(4))}`;
  }

  open(beside) {
    if (!this.cursor) return;
    const row = this.data.rows[this.rows[this.cursor.row]];
    const example = this.data.examples[this.columns[this.cursor.column]];
    const parts = { CANDIDATE: row.id, EXAMPLE: example };
    const address = this.data.rollout.replace(/CANDIDATE|EXAMPLE/g, (name) => encodeURIComponent(parts[name]));
    if (beside) window.open(address);
    else location.href = address;
  }

  draw() {
    if (this.drawing || !this.width) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.paint();
    });
  }

  paint() {
    const { pen, size, labels } = this;
    pen.clearRect(0, 0, this.width, this.height);
    const first = { row: Math.floor(this.top / size), column: Math.floor(this.left / size) };
    const rows = Math.min(this.rows.length - first.row, Math.ceil(this.height / size) + 1);
    const columns = Math.min(this.columns.length - first.column, Math.ceil((this.width - labels) / size) + 1);
    if (rows <= 0 || columns <= 0) return;
    const [x, y] = [labels - this.left + first.column * size, first.row * size - this.top];
    pen.save();
    pen.beginPath();
    pen.rect(labels, 0, this.width - labels, this.height);
    pen.clip();
    pen.imageSmoothingEnabled = false;
    pen.drawImage(this.stretch(first, rows, columns), 0, 0, columns, rows, x, y, columns * size, rows * size);
    if (size >= 6) this.gaps(x, y, rows, columns);
    if (this.cursor) {
      pen.strokeStyle = this.ink.text;
      pen.lineWidth = 2;
      pen.strokeRect(labels + this.cursor.column * size - this.left, this.cursor.row * size - this.top, size, size);
    }
    pen.restore();
    this.names(first.row, rows);
  }

  stretch(first, rows, columns) {
    const { cellsOnly } = this;
    if (cellsOnly.width < columns) cellsOnly.width = columns;
    if (cellsOnly.height < rows) cellsOnly.height = rows;
    const image = new ImageData(columns, rows);
    const dots = new Uint32Array(image.data.buffer);
    for (let row = 0, at = 0; row < rows; row++) {
      const start = this.rows[first.row + row] * this.data.examples.length;
      for (let column = 0; column < columns; column++) dots[at++] = this.palette[this.cells[start + this.columns[first.column + column]]];
    }
    cellsOnly.getContext("2d").putImageData(image, 0, 0);
    return cellsOnly;
  }

  gaps(x, y, rows, columns) {
    const { pen, size } = this;
    pen.fillStyle = this.ink.paper;
    for (let column = 0; column <= columns; column++) pen.fillRect(x + column * size - 0.5, y, 1, rows * size);
    for (let row = 0; row <= rows; row++) pen.fillRect(x, y + row * size - 0.5, columns * size, 1);
  }

  // Of low rows only some are named, and the one under the cursor always.
  names(first, rows) {
    const { pen, size } = this;
    const every = Math.ceil(11 / size);
    pen.font = "11px ui-monospace, Menlo, Consolas, monospace";
    pen.textBaseline = "middle";
    for (let row = first; row < first + rows; row++) {
      const here = this.cursor?.row === row;
      if (row % every && !here) continue;
      if (!here && this.cursor && Math.abs(this.cursor.row - row) < every) continue;
      const { index, note, id } = this.data.rows[this.rows[row]];
      const y = Math.max(6, row * size - this.top + size / 2);
      pen.fillStyle = here ? this.ink.text : this.ink.soft;
      pen.textAlign = "left";
      pen.fillText(`#${index}`, 2, y);
      if (this.labels > 130 && !this.data.kinds) pen.fillText(id.slice(0, 7), 36, y);
      pen.textAlign = "right";
      pen.fillText(note.slice(0, this.data.kinds ? 14 : 9), this.labels - 8, y);
    }
  }
}

function rgb(text) {
  const digits = text.replace("#", "");
  return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16));
}

function mix(one, other, part) {
  return one.map((value, at) => Math.round(value + (other[at] - value) * part));
}

function css(colour) {
  return `rgb(${colour.join(" ")})`;
}

function word([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

// Where a reward stands between 0 (or the lowest) and 1 (or the highest).
function share(value, values) {
  const low = Math.min(0, values[0]);
  const high = Math.max(1, values.at(-1));
  return (value - low) / (high - low);
}
