// In-page explorers. Each function gets the figure, the element that it may fill, and its data; nothing is fetched.

// ---- elements, controls, drawings

const maker = space => (tag, attributes = {}, ...children) => {
  const made = document.createElementNS(space, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};
const html = maker("http://www.w3.org/1999/xhtml");
const svg = maker("http://www.w3.org/2000/svg");
const words = (x, y, text, anchor = "start", more = {}) => svg("text", {x, y, "text-anchor": anchor, ...more}, text);
const drawing = (width, height, ...children) =>
  svg("svg", {width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true"}, ...children);
const linear = ([a, b], [c, d]) => x => c + (x - a) / (b - a) * (d - c);
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const range = n => Array.from({length: n}, (_, k) => k);
const percent = x => `${(100 * x).toFixed(1)} %`;
const away = (down, right) => {  // a displacement, in words
  const part = (value, more, less) => Math.round(value) ? `${Math.abs(Math.round(value))} px ${value > 0 ? more : less}` : "";
  return [part(down, "down", "up"), part(right, "right", "left")].filter(Boolean).join(", ") || "at the centre";
};
const path = points => "M" + points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");

function slider(label, least, most, act) {
  const input = html("input", {type: "range", min: least, max: most});
  const output = html("output");
  input.addEventListener("input", () => act(+input.value));
  const tell = (value, shown, spoken = shown) => {
    input.value = value;
    input.setAttribute("aria-valuetext", spoken);
    output.textContent = shown;
  };
  return {box: html("label", {class: "explorer-slider"}, html("span", {}, label), input, output), tell};
}

function choice(root, legend, names, chosen, act) {
  const box = html("fieldset", {}, html("legend", {}, legend));
  names.forEach((name, k) => {
    const input = html("input", {type: "radio", name: `${root.id}-${legend}`});
    input.checked = k === chosen;
    input.addEventListener("change", () => act(k));
    box.append(html("label", {}, input, name));
  });
  return box;
}

// A drawing that follows the width of its box: draw(width) returns an element.
function fitted(draw, attributes = {}) {
  const box = html("div", {class: "explorer-drawing", ...attributes});
  let width = 0;
  const redraw = () => { if (width) box.replaceChildren(draw(width)); };
  new ResizeObserver(() => {
    const now = Math.floor(box.clientWidth);
    if (now !== width) { width = now; requestAnimationFrame(redraw); }
  }).observe(box);
  return {box, redraw};
}

// Act on the pointer, in pixels of the box: while it hovers (mouse), or touches.
function pointing(box, act) {
  const at = event => {
    const frame = box.getBoundingClientRect();
    act(event.clientX - frame.left, event.clientY - frame.top);
  };
  box.addEventListener("pointerdown", at);
  box.addEventListener("pointermove", event => { if (event.pointerType === "mouse" || event.buttons) at(event); });
}

function arrows(box, act) {
  const steps = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  box.addEventListener("keydown", event => {
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act(...steps[event.key]);
  });
}

// The frame of a chart: grid, ticks [value, label] and a title above.
function frame(x, y, [left, right, top, bottom], xTicks, yTicks, title) {
  return svg("g", {class: "explorer-axes"},
    ...yTicks.map(([value, label]) => svg("g", {},
      svg("line", {x1: left, x2: right, y1: y(value), y2: y(value)}), words(left - 6, y(value) + 4, label, "end"))),
    ...xTicks.map(([value, label]) => words(x(value), bottom + 16, label, "middle")),
    words(left, top - 7, title));
}

function table(head, rows, caption) {
  return html("table", {}, ...(caption ? [html("caption", {}, caption)] : []),
    html("thead", {}, html("tr", {}, ...head.map(each => html("th", {scope: "col"}, each)))),
    html("tbody", {}, ...rows.map(([first, ...rest]) =>
      html("tr", {}, html("th", {scope: "row"}, first), ...rest.map(each => html("td", {}, each))))));
}

const swatch = (colour, dash = "") => svg("svg", {width: 26, height: 10, "aria-hidden": "true", class: "explorer-swatch"},
  svg("line", {x1: 0, x2: 26, y1: 5, y2: 5, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash}));

// A tile of a sprite on a canvas, with what `over` draws upon it; margin: room around it, as a share of the tile.
function paint(canvas, sprite, [sx, sy, size], margin = 0, over = null) {
  const scale = window.devicePixelRatio || 1;
  const edge = Math.max(1, Math.round((canvas.clientWidth || 96) * scale));
  canvas.width = canvas.height = edge;
  const pen = canvas.getContext("2d");
  const from = edge * margin / (1 + 2 * margin), side = edge - 2 * from;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(sprite, sx, sy, size, size, from, from, side, side);
  if (over) over(pen, (x, y) => [from + (x + 1) / 2 * side, from + (y + 1) / 2 * side], scale);  // from [-1, 1]
}

function outline(pen, points, colour, width, dash = []) {
  pen.beginPath();
  points.forEach(([x, y], k) => k ? pen.lineTo(x, y) : pen.moveTo(x, y));
  pen.closePath();
  Object.assign(pen, {strokeStyle: colour, lineWidth: width});
  pen.setLineDash(dash);
  pen.stroke();
}

// What a window theta (a, b, tx, c, d, ty) shows of a tile.
function through(canvas, sprite, [sx, sy, size], [a, b, tx, c, d, ty]) {
  const edge = Math.max(1, Math.round((canvas.clientWidth || 96) * (window.devicePixelRatio || 1)));
  canvas.width = canvas.height = edge;
  const pen = canvas.getContext("2d"), det = a * d - b * c, half = edge / 2;
  if (Math.abs(det) < 1e-6) return;
  const [p, q, r, s] = [d, -b, -c, a].map(each => each / det * half);  // from the field, [-1, 1], to the canvas
  pen.fillStyle = "#808080";
  pen.fillRect(0, 0, edge, edge);
  pen.imageSmoothingEnabled = false;
  pen.setTransform(p, r, q, s, half - p * tx - q * ty, half - r * tx - s * ty);
  pen.drawImage(sprite, sx, sy, size, size, -1, -1, 2, 2);
}

const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]];
const moved = ([a, b, tx, c, d, ty], [u, v]) => [a * u + b * v + tx, c * u + d * v + ty];

function load(source, then) {
  const image = new Image();
  image.onload = () => then(image);
  image.src = source;
}

// ---- the explorers

const explorers = {};

// data: sprite (a row per setting: each scene and its log-polar view), edge, axes: [name, values], start (positions on
// the axes), labels, offsets (per setting and scene, pixels), counted, box (colour), systems: name, colour, and per
// setting and scene: predictions, windows (theta), fixations [row, column]; per setting: correct (of those counted).
explorers.field = (root, live, data) => {
  let at = data.start.slice(), scene = 0, sprite = null;
  const write = [value => `${value} px`, value => `${Math.round(100 * value)} %`, value => `${value}`];
  const setting = () => at.reduce((sum, k, axis) => sum * data.axes[axis][1].length + k, 0);
  const tile = column => [(2 * scene + column) * data.edge, setting() * data.edge, data.edge];
  const half = data.edge / 2;

  const whole = html("canvas"), view = html("canvas");
  const heading = html("span", {}, "the scene");
  const pictures = html("div", {class: "explorer-row explorer-pair"},
    html("div", {class: "explorer-card"}, heading, whole),
    html("div", {class: "explorer-card"}, html("span", {}, "through a log-polar retina"), view));
  const cards = html("div", {class: "explorer-row"});
  const made = data.systems.map(system => {
    const crop = html("canvas"), answer = html("span"), count = html("small");
    cards.append(html("div", {class: "explorer-card"}, html("span", {}, swatch(system.colour), system.name), crop, answer, count));
    return {system, crop, answer, count};
  });
  const reveal = html("input", {type: "checkbox"});
  reveal.checked = true;

  const show = () => {
    const k = setting(), label = data.labels[scene];
    heading.textContent = reveal.checked ? `the scene: a ${label}` : "the scene: where, and which digit?";
    for (const {system, crop, answer, count} of made) {
      const given = system.predictions[k][scene];
      answer.textContent = reveal.checked ? `classified as ${given} ${given === label ? "✓" : "✗"}` : "classified as …";
      answer.className = reveal.checked && given === label ? "explorer-right" : reveal.checked ? "explorer-wrong" : "";
      count.textContent = `${system.correct[k]} of ${data.counted} such scenes classified correctly`;
      crop.style.visibility = reveal.checked ? "" : "hidden";
      if (sprite) through(crop, sprite, tile(0), system.windows[k][scene]);
    }
    if (!sprite) return;
    paint(view, sprite, tile(1));
    paint(whole, sprite, tile(0), 0, (pen, to, scale) => {
      if (!reveal.checked) return;
      const [row, column] = data.offsets[k][scene], f = 28 / data.edge;
      outline(pen, corners.map(([u, v]) => to(column / half + u * f, row / half + v * f)), data.box, 2 * scale, [4 * scale, 3 * scale]);
      for (const {system} of made) {
        const window_at = corners.map(corner => to(...moved(system.windows[k][scene], corner)));
        const steps = system.fixations[k][scene].map(([row, column]) => to(column / half, row / half));
        for (const [width, colour] of [[4, "#ffffffb0"], [2, system.colour]]) {
          outline(pen, window_at, colour, width * scale);
          if (steps.length < 2) continue;
          pen.beginPath();
          steps.forEach((point, k) => k ? pen.lineTo(...point) : pen.moveTo(...point));
          pen.stroke();
        }
      }
    });
  };
  const set = (axis, k) => {
    at[axis] = clamp(k, 0, data.axes[axis][1].length - 1);
    tell();
  };
  const tell = () => {
    const k = setting(), label = data.labels[scene];
    const said = made.map(({system}) => `${system.name} ${system.predictions[k][scene]} ${system.predictions[k][scene] === label ? "correct" : "wrong"}`);
    sliders.forEach((each, axis) => {
      const shown = write[axis](data.axes[axis][1][at[axis]]);
      each.tell(at[axis], shown, `${shown}; the digit is ${label}: ${said.join(", ")}`);
    });
    button.textContent = `Draw another scene (${scene + 1} of ${data.labels.length})`;
    show();
  };
  const sliders = data.axes.map(([name, values], axis) => slider(name, 0, values.length - 1, k => set(axis, k)));
  const button = html("button", {type: "button", class: "explorer-button"});
  button.addEventListener("click", () => { scene = (scene + 1) % data.labels.length; tell(); });
  reveal.addEventListener("change", show);
  live.append(...sliders.map(each => each.box), html("div", {class: "explorer-row explorer-tools"}, button,
    html("label", {}, reveal, "show the predictions")), pictures, cards, html("small", {class: "explorer-key"},
    "Dashed: the digit's frame. Coloured: the window that each system classifies, shown again below; a line: the "
    + "fixations before it."));
  new ResizeObserver(() => requestAnimationFrame(show)).observe(pictures);
  load(data.sprite, image => { sprite = image; show(); });
  tell();
};

// data: stds, steps (per stage), edge (pixels), groups: name, colour, dash, runs: seed, at (in stages), spread, follow,
// accuracy, mean (theta), sigma (of the centre, pixels).
explorers.curriculum = (root, live, data) => {
  const last = data.stds.length * data.steps;
  let now = last, seed = 0;
  const record = run => run.at.findLastIndex(at => at <= now / data.steps + 1e-9);
  const stage = () => Math.min(data.stds.length - 1, Math.floor((now - 1) / data.steps));
  const quantities = [
    ["spread", "standard deviation of the window's centre (px)", value => `${value.toFixed(2)} px`],
    ["follow", "correlation of the window with the digit", value => value.toFixed(2)],
    ["accuracy", "accuracy (%)", percent],
  ];

  const draw = width => {
    const left = 40, right = width - 8, high = 96, gap = 40;
    const x = linear([0, data.stds.length], [left, right]);
    const every = Math.ceil(data.stds.length * 22 / (right - left));
    const parts = quantities.map(([key, title], row) => {
      const top = 24 + row * (high + gap), bottom = top + high;
      const every_value = data.groups.flatMap(group => group.runs.flatMap(run => run[key]));
      const low = Math.min(0, Math.floor(10 * Math.min(...every_value)) / 10);
      const span = key === "accuracy" ? [0, 1] : key === "follow" ? [low, 1] : [0, Math.max(1, ...every_value)];
      const y = linear(span, [bottom, top]);
      const size = key === "spread" ? [1, 2, 5, 10].find(step => span[1] / step <= 5) ?? 20 : 0;
      const ticks = key === "accuracy" ? [[0, "0"], [0.5, "50"], [1, "100"]]
        : key === "follow" ? [[0, "0"], [0.5, "0.5"], [1, "1"]]
        : range(Math.floor(span[1] / size) + 1).map(k => [k * size, `${k * size}`]);
      const stages = row < 2 ? [] : data.stds.map((std, k) => [k + 0.5, k % every ? "" : `${std}`]);
      const lines = data.groups.flatMap(group => group.runs.map((run, k) => svg("path", {
        d: path(run.at.map((at, i) => [x(at), y(run[key][i])])), fill: "none", stroke: group.colour,
        "stroke-width": k === seed ? 2 : 1, "stroke-dasharray": group.dash, opacity: k === seed ? 1 : 0.3,
      })));
      const dots = data.groups.flatMap(group => {
        const i = record(group.runs[seed]);
        return i < 0 ? [] : [svg("circle", {
          cx: x(group.runs[seed].at[i]), cy: y(group.runs[seed][key][i]), r: 4.5, fill: group.colour,
        })];
      });
      return svg("g", {}, frame(x, y, [left, right, top, bottom], stages, ticks, title), ...lines,
        svg("line", {x1: x(now / data.steps), x2: x(now / data.steps), y1: top, y2: bottom, class: "explorer-cursor"}),
        ...dots);
    });
    const height = 24 + 3 * high + 2 * gap + 40;
    return drawing(width, height, ...parts,
      svg("g", {class: "explorer-axes"}, words((left + right) / 2, height - 6,
        "stage of the curriculum, by its shift std (px)", "middle")));
  };
  const chart = fitted(draw, {class: "explorer-drawing explorer-pointed"});
  pointing(chart.box, x => {
    const width = chart.box.clientWidth;
    set(Math.round(linear([40, width - 8], [0, last])(x)));
  });

  const reach = data.edge * 0.8;
  const windows = html("div", {class: "explorer-row explorer-narrow"});
  const window_of = group => {
    const run = group.runs[seed], i = record(run), half = data.edge / 2;
    const still = svg("g", {class: "explorer-axes"},
      svg("rect", {x: -half, y: -half, width: data.edge, height: data.edge, class: "explorer-frame"}),
      svg("circle", {r: data.stds[stage()], class: "explorer-dashed"}));
    const shown = i < 0 ? [] : (() => {
      const theta = run.mean[i], [sx, sy] = run.sigma[i];
      return [
        svg("path", {d: path(corners.map(each => moved(theta, each).map(v => v * half))) + "Z", fill: "none",
          stroke: group.colour, "stroke-width": 2}),
        svg("ellipse", {cx: theta[2] * half, cy: theta[5] * half, rx: sx, ry: sy, fill: group.colour, opacity: 0.35}),
        svg("circle", {cx: theta[2] * half, cy: theta[5] * half, r: 0.9, fill: group.colour}),
      ];
    })();
    return html("div", {class: "explorer-card"}, html("span", {}, swatch(group.colour, group.dash), group.name),
      svg("svg", {viewBox: `${-reach} ${-reach} ${2 * reach} ${2 * reach}`, "aria-hidden": "true"}, still, ...shown),
      html("small", {}, i < 0 ? "not begun" : quantities.map(([key, , write]) => write(run[key][i])).join(" · ")));
  };

  const set = value => {
    now = clamp(value, 1, last);
    const where = `shift std ${data.stds[stage()]} px, ${Math.round(100 * now / last)} % of training`;
    const said = data.groups.map(group => {
      const i = record(group.runs[seed]);
      return `${group.name}: ` + (i < 0 ? "not begun" : quantities.map(([key, , write]) => write(group.runs[seed][key][i])).join(", "));
    });
    time.tell(now, where, `${where}. ${said.join("; ")}`);
    windows.replaceChildren(...data.groups.map(window_of));
    chart.redraw();
  };
  const time = slider("training", 1, last, set);
  const seeds = data.groups[0].runs.map(run => `${run.seed}`);
  live.append(time.box);
  if (seeds.length > 1) live.append(choice(root, "seed", seeds, 0, k => { seed = k; set(now); }));
  live.append(windows, html("small", {class: "explorer-key"}, "Solid square: the image. Coloured: the mean window, its "
    + "centre, and one standard deviation of the centre over inputs. Dashed: one standard deviation of the digit's "
    + "shift. Numbers: standard deviation, correlation, accuracy. Faint lines: the other seeds."), chart.box);
  set(last);
};

// data: names, axis (offsets, pixels), maps (permille, row by row), n, colours (hexadecimal, 0 to 100 %), offsets (of the
// tiles, along one axis), sprite, size (of a tile), readers (what each system's tile shows), places: for each (row,
// column) of offsets the stimuli: label, contrast, predictions, thetas.
explorers.map = (root, live, data) => {
  const n = data.axis.length, reach = data.axis[n - 1], step = 2 * reach / (n - 1);
  let row = (n - 1) / 2, column = row, sprite = null;
  const nearest = value => data.offsets.reduce((best, each, k) =>
    Math.abs(each - value) < Math.abs(data.offsets[best] - value) ? k : best, 0);

  const pictures = data.maps.map(map => {
    const canvas = html("canvas", {width: n, height: n}), pen = canvas.getContext("2d");
    const pixels = pen.createImageData(n, n);
    map.forEach((value, k) => {
      const colour = parseInt(data.colours[Math.round(value / 1000 * (data.colours.length - 1))], 16);
      pixels.data.set([colour >> 16, colour >> 8 & 255, colour & 255, 255], 4 * k);
    });
    pen.putImageData(pixels, 0, 0);
    return canvas.toDataURL();
  });
  const layout = width => {
    const gap = 14, left = 26, count = data.maps.length;
    const side = Math.min(340, Math.floor((width - left - gap * (count - 1) - 4) / count));
    return {left, side, top: 22, at: k => left + k * (side + gap)};
  };
  const draw = width => {
    const {left, side, top, at} = layout(width), cell = side / n;
    const ticks = [-20, -10, 0, 10, 20].filter(each => Math.abs(each) <= reach);
    const signed = value => `${value}`.replace("-", "−");
    const place = linear([-reach - step / 2, reach + step / 2], [0, side]);
    const maps = data.names.map((name, k) => svg("g", {class: "explorer-axes"},
      words(at(k), top - 7, `${name}, ${percent(data.maps[k][row * n + column] / 1000)} here`),
      svg("image", {href: pictures[k], x: at(k), y: top, width: side, height: side, preserveAspectRatio: "none",
        style: "image-rendering: pixelated"}),
      ...ticks.map(each => words(at(k) + place(each), top + side + 15, signed(each), "middle")),
      svg("rect", {x: at(k) + column * cell - 1, y: top + row * cell - 1, width: cell + 2, height: cell + 2,
        class: "explorer-cell"}),
      svg("rect", {x: at(k) + column * cell - 2.5, y: top + row * cell - 2.5, width: cell + 5, height: cell + 5,
        class: "explorer-cell explorer-cell-outer"})));
    const bar = range(50).map(k => svg("rect", {x: left + k * 3, y: top + side + 34, width: 3.2, height: 8,
      fill: `#${data.colours[Math.round(k / 49 * (data.colours.length - 1))]}`}));
    return drawing(width, top + side + 48, ...maps, svg("g", {class: "explorer-axes"},
      ...ticks.map(each => words(left - 5, top + place(each) + 4, signed(each), "end")),
      ...bar, words(left + 156, top + side + 42, "accuracy, 0 to 100 %")));
  };
  const maps = fitted(draw, {
    class: "explorer-drawing explorer-pointed", tabindex: 0, role: "group",
    "aria-label": "Accuracy maps; the arrow keys move the cell",
  });
  pointing(maps.box, (x, y) => {
    const {side, top, at} = layout(maps.box.clientWidth);
    const k = data.maps.findIndex((_, k) => x >= at(k) && x < at(k) + side);
    if (k < 0 || y < top || y >= top + side) return;
    set(Math.floor((y - top) / side * n), Math.floor((x - at(k)) / side * n));
  });
  arrows(maps.box, (right, down) => set(row + down, column + right));

  const said = html("output", {class: "explorer-said", "aria-live": "polite"});
  const heading = html("small", {class: "explorer-key"});
  const cards = html("div", {class: "explorer-row"});
  const tiles = 1 + data.readers.filter(each => each !== null).length;
  const show = () => {
    const i = nearest(data.axis[row]), j = nearest(data.axis[column]), stimuli = data.places[i * data.offsets.length + j];
    heading.textContent = `Test stimuli with the digit ${away(data.offsets[i], data.offsets[j])}`
      + (data.offsets[i] === data.axis[row] && data.offsets[j] === data.axis[column] ? ":" : ", the nearest that are kept:");
    const made = stimuli.map((each, k) => {
      const whole = html("canvas"), crops = data.readers.map(reader => reader === null ? null : html("canvas"));
      const card = html("div", {class: "explorer-card"}, html("span", {}, `${each.label}, contrast ${Math.round(100 * each.contrast)} %`),
        whole, ...data.names.map((name, s) => {
          const right = each.predictions[s] === each.label;
          return html("div", {class: "explorer-answer"}, ...(crops[s] ? [crops[s]] : []),
            html("span", {class: right ? "explorer-right" : "explorer-wrong"}, `${name}: ${each.predictions[s]} ${right ? "✓" : "✗"}`));
        }));
      return {card, whole, crops, each, k};
    });
    cards.replaceChildren(...made.map(({card}) => card));
    const y = (i * data.offsets.length + j) * data.size;
    for (const {whole, crops, each, k} of made) {
      paint(whole, sprite, [k * tiles * data.size, y, data.size], 0.2, (pen, to, scale) => {
        const unit = 2 / data.size;
        outline(pen, corners.map(([u, v]) => to(u + data.offsets[j] * unit, v + data.offsets[i] * unit)), data.box, 1.5 * scale, [4 * scale, 3 * scale]);
        each.thetas.forEach(theta => {
          if (theta) outline(pen, corners.map(corner => to(...moved(theta, corner))), data.window, 2 * scale);
        });
      });
      crops.forEach((canvas, s) => canvas && paint(canvas, sprite, [(k * tiles + data.readers[s]) * data.size, y, data.size]));
    }
  };
  const set = (i, j) => {
    row = clamp(i, 0, n - 1);
    column = clamp(j, 0, n - 1);
    const where = away(data.axis[row], data.axis[column]);
    const found = data.names.map((name, k) => `${name} ${percent(data.maps[k][row * n + column] / 1000)}`).join(", ");
    said.textContent = `Digit ${where}: ${found} (${data.n} stimuli).`;
    across.tell(column, `${data.axis[column]} px`.replace("-", "−"));
    down.tell(row, `${data.axis[row]} px`.replace("-", "−"));
    maps.redraw();
    if (sprite) show();
  };
  const across = slider("shift right", 0, n - 1, value => set(row, value));
  const down = slider("shift down", 0, n - 1, value => set(value, column));
  live.append(maps.box, across.box, down.box, said, heading, cards, html("small", {class: "explorer-key"},
    "Dashed: the digit's frame. Orange: the transformer's window; beneath, its crop, and the predictions."));
  load(data.sprite, image => { sprite = image; show(); });
  set(row, column);
};

// data: fields, records (arrays in the order of the fields), systems: name, colour, dash, shape, on, records (positions).
explorers.benchmark = (root, live, data) => {
  const records = data.records.map(each => Object.fromEntries(data.fields.map((name, k) => [name, each[k]])));
  const contrasts = [...new Set(records.map(each => each.contrast))].sort((a, b) => b - a);
  const axes = [
    ["eccentricity (px)", "eccentricity"], ["input values", "coefficients"], ["parameters", "parameters"],
    ["training images", "train_images"], ["training seconds", "train_seconds"],
  ].filter(([, key]) => records.some(each => each[key]));
  let contrast = 0, axis = 0, current = null;
  const on = data.systems.map(system => system.on);
  const key = () => axes[axis][1];
  const count = value => value.toLocaleString("en-GB", {maximumFractionDigits: 0}).replaceAll(",", " ");

  // The points that the chart and the table show: [{system, x, accuracy, low, high, n_stimuli}].
  const points = () => data.systems.flatMap((system, s) => {
    const here = on[s] ? system.records.map(k => records[k]).filter(each => each.contrast === contrasts[contrast]) : [];
    if (key() === "eccentricity") return here.map(each => ({...each, system, x: each.eccentricity}));
    const mean = name => here.reduce((sum, each) => sum + each[name], 0) / here.length;
    return here.length && here[0][key()] ? [{...here[0], system, x: here[0][key()], accuracy: mean("accuracy"), low: mean("low"), high: mean("high")}] : [];
  });
  const tell = point => `${point.system.name}, ${key() === "eccentricity" ? `${point.x.toFixed(1)} px` : `${count(point.x)} ${axes[axis][0]}`}`
    + `, contrast ${Math.round(100 * contrasts[contrast])} %: ${percent(point.accuracy)} (${(100 * point.low).toFixed(1)} to `
    + `${(100 * point.high).toFixed(1)}), ${count(point.n_stimuli)} stimuli${point.n_seeds > 1 ? `, ${point.n_seeds} seeds` : ""}`
    + (key() === "eccentricity" ? "" : "; mean over the eccentricities, and of their bounds");

  let shown = [], where = () => [0, 0];
  const mark = (shape, x, y, r, attributes) => shape === 0 ? svg("circle", {cx: x, cy: y, r, ...attributes})
    : svg("path", {d: path(shape === 1 ? [[x - r, y - r], [x + r, y - r], [x + r, y + r], [x - r, y + r]]
      : [[x, y - 1.3 * r], [x + 1.3 * r, y], [x, y + 1.3 * r], [x - 1.3 * r, y]]) + "Z", ...attributes});
  const draw = width => {
    const left = 36, right = width - 12, top = 24, bottom = 300, plain = key() === "eccentricity";
    const xs = shown.map(point => point.x);
    const logs = xs.map(Math.log10);
    const x = plain ? linear([0, Math.max(40, ...xs)], [left, right])
      : (scale => value => scale(Math.log10(value)))(linear([Math.min(...logs) - 0.15, Math.max(...logs) + 0.15], [left, right]));
    const y = linear([0, 1], [bottom, top]);
    where = point => [x(point.x), y(point.accuracy)];
    const decades = range(13).flatMap(d => [1, 2, 5].map(k => k * 10 ** d))
      .filter(value => value >= Math.min(...xs) / 1.4 && value <= Math.max(...xs) * 1.4);
    const few = decades.length > 6 ? decades.filter(value => String(value)[0] === "1") : decades;
    const short = value => value >= 1e6 ? `${value / 1e6} M` : value >= 1e4 ? `${value / 1e3} k` : `${value}`;
    const ticks = plain ? [0, 10, 20, 30, 40].map(value => [value, `${value}`]) : few.map(value => [value, short(value)]);
    const parts = data.systems.flatMap(system => {
      const own = shown.filter(point => point.system === system);
      const line = {fill: "none", stroke: system.colour, "stroke-width": 1.8, "stroke-dasharray": system.dash};
      const band = [...own.map(p => [x(p.x), y(p.high)]), ...own.toReversed().map(p => [x(p.x), y(p.low)])];
      return own.length === 0 ? [] : [
        ...(own.length > 1 ? [svg("path", {d: path(band) + "Z", fill: system.colour, opacity: 0.15}),
          svg("path", {d: path(own.map(where)), ...line})]
          : [svg("line", {x1: x(own[0].x), x2: x(own[0].x), y1: y(own[0].low), y2: y(own[0].high), stroke: system.colour})]),
        ...own.map(point => mark(system.shape, ...where(point), 3.6,
          {stroke: system.colour, "stroke-width": 1.6, fill: point.source === "2021" ? "var(--explorer-paper)" : system.colour})),
      ];
    });
    const chosen = shown[current] ? [svg("circle", {cx: where(shown[current])[0], cy: where(shown[current])[1], r: 8, class: "explorer-ring"})] : [];
    return drawing(width, bottom + 40,
      frame(x, y, [left, right, top, bottom], ticks, [0, 0.25, 0.5, 0.75, 1].map(v => [v, `${100 * v}`]), "accuracy (%)"),
      svg("g", {class: "explorer-axes"},
        svg("line", {x1: left, x2: right, y1: y(0.1), y2: y(0.1), "stroke-dasharray": "2 3", class: "explorer-cursor"}),
        words(right, y(0.1) - 4, "chance", "end"), words((left + right) / 2, bottom + 36, axes[axis][0] + (plain ? "" : ", logarithmic"), "middle")),
      ...parts, ...chosen);
  };
  const chart = fitted(draw, {
    class: "explorer-drawing explorer-pointed", tabindex: 0, role: "group",
    "aria-label": "Accuracy in percent; left and right move along a system, up and down to another system",
  });
  const said = html("output", {class: "explorer-said", "aria-live": "polite"});
  const select = k => {
    current = k;
    said.textContent = shown[k] ? tell(shown[k]) : "Point at a mark, or focus the chart and use the arrow keys.";
    chart.redraw();
  };
  pointing(chart.box, (px, py) => {
    const distance = shown.map(point => Math.hypot(where(point)[0] - px, where(point)[1] - py));
    const best = distance.indexOf(Math.min(...distance));
    if (best >= 0 && best !== current) select(best);
  });
  arrows(chart.box, (right, down) => {
    if (!shown.length) return;
    const here = shown[current ?? 0], order = data.systems.filter(system => shown.some(point => point.system === system));
    const own = system => shown.filter(point => point.system === system).sort((a, b) => a.x - b.x);
    if (current === null) return select(0);
    if (right && own(here.system).length > 1) {
      const line = own(here.system);
      return select(shown.indexOf(line[clamp(line.indexOf(here) + right, 0, line.length - 1)]));
    }
    const next = order[(order.indexOf(here.system) + (right || down) + order.length) % order.length];
    const line = own(next);
    select(shown.indexOf(line[clamp(own(here.system).indexOf(here), 0, line.length - 1)]));
  });
  chart.box.addEventListener("focus", () => { if (current === null && shown.length) select(0); });

  const listing = html("div", {class: "explorer-table"});
  const csv = html("a", {class: "explorer-button"}, "CSV of these numbers");
  const quoted = value => /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  const update = () => {
    shown = points();
    const systems = data.systems.filter(system => shown.some(point => point.system === system));
    const heading = `Accuracy (%), contrast ${Math.round(100 * contrasts[contrast])} %, ${key() === "eccentricity" ? "with 95 % intervals" : "mean over the eccentricities, with the means of their 95 % bounds"}`;
    const value = point => point ? `${(100 * point.accuracy).toFixed(1)} (${(100 * point.low).toFixed(1)} to ${(100 * point.high).toFixed(1)})` : "";
    if (key() === "eccentricity") {
      const xs = [...new Set(shown.map(point => point.x))].sort((a, b) => a - b);
      listing.replaceChildren(table(["system", ...xs.map(x => `${x.toFixed(1)} px`)], systems.map(system =>
        [system.name, ...xs.map(x => value(shown.find(point => point.system === system && point.x === x)))]), heading));
    } else {
      listing.replaceChildren(table(["system", axes[axis][0], "accuracy"],
        shown.map(point => [point.system.name, count(point.x), value(point)]), heading));
    }
    const lines = data.systems.flatMap((system, s) => on[s] ? system.records : [])
      .filter(k => records[k].contrast === contrasts[contrast])
      .map(k => data.records[k].map(each => quoted(each === null ? "" : String(each))).join(","));
    csv.href = "data:text/csv;charset=utf-8," + encodeURIComponent([data.fields.join(","), ...lines].join("\n") + "\n");
    csv.download = `benchmark-contrast-${Math.round(100 * contrasts[contrast])}.csv`;
    select(null);
  };
  const systems = html("fieldset", {class: "explorer-systems"}, html("legend", {}, "systems"));
  const others = html("div"), hidden = data.systems.filter(system => !system.on).length;
  data.systems.forEach((system, k) => {
    const input = html("input", {type: "checkbox"});
    input.checked = on[k];
    input.addEventListener("change", () => { on[k] = input.checked; update(); });
    (system.on ? systems : others).append(html("label", {}, input, svg("svg", {width: 26, height: 12, "aria-hidden": "true", class: "explorer-swatch"},
      svg("line", {x1: 0, x2: 26, y1: 6, y2: 6, stroke: system.colour, "stroke-width": 2, "stroke-dasharray": system.dash}),
      mark(system.shape, 13, 6, 3.6, {stroke: system.colour, "stroke-width": 1.6,
        fill: system.source === "2021" ? "var(--explorer-paper)" : system.colour})), system.name));
  });
  if (hidden) systems.append(html("details", {}, html("summary", {}, `${hidden} more`), others));
  live.append(
    choice(root, "contrast", contrasts.map(each => `${Math.round(100 * each)} %`), 0, k => { contrast = k; update(); }),
    choice(root, "against", axes.map(([label]) => label), 0, k => { axis = k; update(); }),
    systems, said, chart.box,
    html("details", {}, html("summary", {}, "The same numbers as a table"), listing), csv);
  update();
};

// data: sprite (scenes in a column), edge, fovea (pixels), labels, systems: name, colour, traces: fixations [row, column]
// (pixels from the centre), predictions (null: none yet), notes.
explorers.traces = (root, live, data) => {
  let scene = 0, step = 0, sprite = null;
  const length = () => Math.max(...data.systems.map(system => system.traces[scene].fixations.length));
  const cards = html("div", {class: "explorer-row explorer-wide"});
  const made = data.systems.map(system => {
    const whole = html("canvas"), fovea = html("canvas"), said = html("span");
    cards.append(html("div", {class: "explorer-card"}, html("span", {}, swatch(system.colour), system.name), whole,
      html("div", {class: "explorer-answer"}, fovea, said)));
    return {system, whole, fovea, said};
  });
  const words_of = (system, k) => {
    const trace = system.traces[scene], at = Math.min(k, trace.fixations.length - 1), answer = trace.predictions[at];
    const [row, column] = trace.fixations[at];
    return {at, trace, right: answer === data.labels[scene], answer,
      text: `fixation ${at + 1} of ${trace.fixations.length}, ${away(row, column)}; `
        + (answer === null ? "no prediction yet" : `classified as ${answer} ${answer === data.labels[scene] ? "✓" : "✗"}`)
        + (trace.notes[at] ? `; ${trace.notes[at]}` : "")};
  };
  const show = () => {
    const half = data.edge / 2, y = scene * data.edge;
    for (const {system, whole, fovea, said} of made) {
      const {at, trace, right, answer, text} = words_of(system, step);
      said.textContent = text;
      said.className = answer === null ? "" : right ? "explorer-right" : "explorer-wrong";
      if (!sprite) continue;
      paint(whole, sprite, [0, y, data.edge], 0, (pen, to, scale) => {
        const place = ([row, column]) => to(column / half, row / half);
        const trail = trace.fixations.slice(0, at + 1).map(place), f = data.fovea / data.edge;
        for (const [width, colour] of [[4, "#ffffff"], [2, system.colour]]) {
          Object.assign(pen, {strokeStyle: colour, fillStyle: colour, lineWidth: width * scale});
          pen.setLineDash([]);
          pen.beginPath();
          trail.forEach((point, k) => k ? pen.lineTo(...point) : pen.moveTo(...point));
          pen.stroke();
          for (const point of trail) { pen.beginPath(); pen.arc(...point, (width + 1) * scale, 0, 7); pen.fill(); }
        }
        const [row, column] = trace.fixations[at];
        outline(pen, corners.map(([u, v]) => to(column / half + u * f, row / half + v * f)), system.colour, 2 * scale);
      });
      const [row, column] = trace.fixations[at];
      paint(fovea, sprite, [0, 0, 0]);
      const pen = fovea.getContext("2d"), from = data.edge / 2 - data.fovea / 2;
      const cut = document.createElement("canvas");
      cut.width = cut.height = data.edge;
      cut.getContext("2d").drawImage(sprite, 0, y, data.edge, data.edge, 0, 0, data.edge, data.edge);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(cut, from + column, from + row, data.fovea, data.fovea, 0, 0, fovea.width, fovea.height);
    }
  };
  const set = (which, k) => {
    scene = clamp(which, 0, data.labels.length - 1);
    step = clamp(k, 0, length() - 1);
    scenes.tell(scene, `${scene + 1} of ${data.labels.length}, digit ${data.labels[scene]}`);
    steps.box.querySelector("input").max = length() - 1;
    steps.tell(step, `${step + 1} of ${length()}`, made.map(({system}) => `${system.name}, ${words_of(system, step).text}`).join(". "));
    show();
  };
  const scenes = slider("scene", 0, data.labels.length - 1, value => set(value, 0));
  const steps = slider("fixation", 0, length() - 1, value => set(scene, value));
  live.append(scenes.box, steps.box, cards);
  load(data.sprite, image => { sprite = image; show(); });
  set(0, 0);
};

// ---- the start

function begin(id, kind) {
  const root = document.getElementById(id);
  if (!root || root.classList.contains("explorer-on")) return;
  const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  root.classList.add("explorer-on");
  const made = explorers[kind](root, root.querySelector(".explorer-live"), data);
  made?.catch(error => { root.classList.remove("explorer-on"); console.error(error); });  // the picture remains
}
