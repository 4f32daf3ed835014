// Shows the values at the pointer. All numbers are in the tables of the page, which needs no script.
"use strict";
document.documentElement.classList.add("script");
const SVG = "http://www.w3.org/2000/svg";

function numbers(text) {
  return text.split(" ").map(Number);
}

class Reader {
  constructor(chart) {
    this.chart = chart;
    this.box = numbers(chart.dataset.box);
    this.domain = numbers(chart.dataset.domain);
    this.at = -1;
    const columns = numbers(chart.dataset.columns);
    const table = document.getElementById(chart.dataset.table);
    this.points = Array.from(table.tBodies[0].rows, (row) => ({
      label: row.cells[0].textContent.trim(),
      step: Number(row.cells[0].textContent.replaceAll(",", "")),
      texts: columns.map((column) => row.cells[column + 1].textContent.trim()),
    }));
    // the first line is on top and hence the last element
    this.lines = Array.from(chart.querySelectorAll(".line")).reverse();
    this.cursor = chart.appendChild(document.createElementNS(SVG, "g"));
    this.cursor.setAttribute("class", "cursor");
    this.readout = document.createElement("div");
    this.readout.className = "readout";
    this.readout.setAttribute("role", "status");
    this.readout.hidden = true;
    chart.parentElement.appendChild(this.readout);
    chart.setAttribute("tabindex", "0");
    chart.setAttribute("aria-label", chart.getAttribute("aria-label") + " Arrow keys read them.");
    chart.addEventListener("pointermove", (event) => this.point(event));
    chart.addEventListener("pointerdown", (event) => this.point(event));
    chart.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.hide());
    chart.addEventListener("blur", () => this.hide());
    chart.addEventListener("keydown", (event) => this.key(event));
  }

  x(step) {
    const [first, last] = this.domain;
    return this.box[0] + ((step - first) / (last - first)) * (this.box[2] - this.box[0]);
  }

  y(value) {
    const [, , low, high] = this.domain;
    return this.box[3] - ((value - low) / (high - low)) * (this.box[3] - this.box[1]);
  }

  point(event) {
    const frame = this.chart.getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * this.chart.viewBox.baseVal.width;
    const away = this.points.map((point) => Math.abs(this.x(point.step) - x));
    this.show(away.indexOf(Math.min(...away)));
  }

  key(event) {
    const last = this.points.length - 1;
    const moves = { ArrowLeft: this.at - 1, ArrowRight: this.at + 1, Home: 0, End: last };
    if (event.key === "Escape") {
      this.hide();
    } else if (event.key in moves) {
      event.preventDefault();
      this.show(Math.max(0, Math.min(last, moves[event.key])));
    }
  }

  show(at) {
    this.at = at;
    const point = this.points[at];
    const x = this.x(point.step);
    const stem = document.createElementNS(SVG, "path");
    stem.setAttribute("d", `M${x},${this.box[1]}V${this.box[3]}`);
    this.cursor.replaceChildren(stem);
    const heading = document.createElement("strong");
    heading.textContent = `${point.label} steps`;
    this.readout.replaceChildren(heading);
    this.lines.forEach((line, number) => {
      const value = parseFloat(point.texts[number]);
      if (line.style.display === "none" || Number.isNaN(value)) return;
      const dot = document.createElementNS(SVG, "circle");
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", this.y(value));
      dot.setAttribute("r", 3.5);
      dot.style.color = line.style.color;
      this.cursor.appendChild(dot);
      this.readout.appendChild(entry(line, point.texts[number]));
    });
    this.readout.hidden = false;
    this.place(x);
  }

  // below the chart, under the cursor as far as there is room: neither a finger nor the readout itself hides the lines
  place(x) {
    const scale = this.chart.clientWidth / this.chart.viewBox.baseVal.width;
    const room = this.chart.clientWidth - this.readout.offsetWidth;
    this.readout.style.left = `${Math.max(0, Math.min(room, x * scale - this.readout.offsetWidth / 2))}px`;
    this.readout.style.top = `${this.chart.getBoundingClientRect().bottom - this.chart.parentElement.getBoundingClientRect().top}px`;
  }

  hide() {
    this.at = -1;
    this.readout.hidden = true;
    this.cursor.replaceChildren();
  }
}

function entry(line, text) {
  const row = document.createElement("div");
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.color = line.style.color;
  const name = document.createElement("span");
  name.textContent = line.dataset.line;
  const value = document.createElement("span");
  value.textContent = text;
  row.append(swatch, name, value);
  return row;
}

function makeLegend(section) {
  for (const item of section.querySelectorAll(".legend li")) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(...item.childNodes);
    item.append(button);
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", String(shown));
      for (const line of section.querySelectorAll(".line")) {
        if (line.dataset.line === item.dataset.method) line.style.display = shown ? "" : "none";
      }
    });
  }
}

document.querySelectorAll(".chart").forEach((chart) => new Reader(chart));
document.querySelectorAll("[data-legend]").forEach(makeLegend);
