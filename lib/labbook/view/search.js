// Visual search under the reader's hand: the evidence map of a field, and a foveal searcher's fixations one by one, computed
// in the page. Needs tensors.js, and of logpolar.js the retina.
//
// The fovea's evidence is that of the map: a fovea lies on the map's grid, and each place sees 28 x 28 pixels in either.
//
// data: map, the layers of an evidence map; where: mean and deviation (n) of the coefficients, convs, norms, last: weights
// and biases of the where network; cells (201 x 201): the retina's cell nearest to a place, by its displacement from the gaze,
// rows and columns from -100; retina, as `logpolar.retina` wants it; sure, log evidence at which a search stops; saccades, at
// most; digits (10, 28, 28), coded; start: digit, offset [down, right], contrast, noise, seed.

const search = (() => {
  const SIZE = 128, MARGIN = 50, STEP = 4, SIDE = 26, PLACES = SIDE ** 2, REACH = 2;  // a fovea has 5 x 5 places
  const coordinate = k => k * STEP - MARGIN;  // of a row or column of the map, pixels from the middle of the field
  const place = k => [coordinate(k / SIDE | 0), coordinate(k % SIDE)];

  function logSumExp(values) {
    let most = -Infinity, total = 0;
    for (const each of values) most = Math.max(most, each);
    if (most === -Infinity) return most;
    for (const each of values) total += Math.exp(each - most);
    return most + Math.log(total);
  }
  const logSoftmax = values => { const total = logSumExp(values); return values.map(each => each - total); };

  // What follows from the map's outputs (11, 26, 26): evidence (10, places), of any digit (places), of the field (10).
  function summary(outputs) {
    const evidence = Float32Array.from({length: 10 * PLACES}, (_, k) => outputs.data[k] - outputs.data[10 * PLACES + k % PLACES]);
    const any = Float32Array.from({length: PLACES}, (_, k) => logSumExp(Array.from({length: 10}, (_, c) => evidence[c * PLACES + k])));
    const field = Float32Array.from({length: 10}, (_, c) => logSumExp(evidence.subarray(c * PLACES, (c + 1) * PLACES)));
    return {evidence, any, field, best: tensors.argmax(any)};
  }

  const around = (image, [down, right]) => {  // laid around a gaze, grey beyond, grey is 0
    const out = new Float32Array(SIZE ** 2);
    for (let i = Math.max(0, -down); i < Math.min(SIZE, SIZE - down); i++)
      for (let j = Math.max(0, -right); j < Math.min(SIZE, SIZE - right); j++) out[i * SIZE + j] = image[(i + down) * SIZE + j + right] - 0.5;
    return out;
  };

  // The foveal searcher: `glance(image, gaze)` gives the scores of the places, as estimated from the periphery.
  async function searcher(data, said) {
    const retina = await logpolar.retina(data.retina), {orientations, azimuths, rings: {length: rings}, phases} = data.retina.part;
    const [mean, deviation, cells] = await Promise.all([data.where.mean, data.where.deviation, data.cells].map(tensors.unpack));
    const weights = coded => Promise.all(coded.map(tensors.unpack));
    const convs = await weights(data.where.convs), norms = await weights(data.where.norms), [last, bias] = await weights(data.where.last);
    for (let k = 0, rest = performance.now(); k < retina.steps; k++) {
      retina.prepare(k);
      if (performance.now() - rest < 30) continue;
      said(k / retina.steps);
      await new Promise(done => setTimeout(done));
      rest = performance.now();
    }

    function glance(image, gaze) {
      const features = retina.forward(around(image, gaze)).map((each, k) => (each - mean.data[k]) / deviation.data[k]);
      let x = tensors.tensor([orientations * rings * (phases + 1), 1, azimuths]);
      for (let o = 0; o < orientations; o++) for (let r = 0; r < rings; r++) for (let a = 0; a < azimuths; a++) {
        const from = ((o * azimuths + a) * rings + r) * phases, to = (o * rings + r) * (phases + 1);
        let energy = 0.1;
        for (let phase = 0; phase < phases; phase++) {
          x.data[(to + phase) * azimuths + a] = features[from + phase];
          energy += features[from + phase] ** 2;
        }
        x.data[(to + phases) * azimuths + a] = Math.log(energy);
      }
      convs.forEach((weight, k) => {
        const turned = tensors.conv2d(tensors.pad(x, [0, 0, 2, 2], "wrap"), weight);
        x = tensors.relu(tensors.groupNorm(turned, norms[2 * k], norms[2 * k + 1]));
      });
      const scores = tensors.conv2d(x, last, bias).data;  // (rings, azimuths)
      return Float64Array.from({length: PLACES}, (_, k) => {
        const [down, right] = place(k), cell = cells.data[(down - gaze[0] + 2 * MARGIN) * (4 * MARGIN + 1) + right - gaze[1] + 2 * MARGIN];
        return scores[cell % rings * azimuths + (cell / rings | 0)];
      });
    }

    // A search before its first fixation; `step` makes one.
    function begin(image, evidence) {
      const from = (gaze, k) => Math.hypot(place(k)[0] - gaze[0], place(k)[1] - gaze[1]);
      const now = {
        posterior: logSoftmax(glance(image, [0, 0])), examined: new Uint8Array(PLACES), fixations: [], expected: [], total: [], stopped: false,
        step() {
          const open = now.open();
          const mass = open.map((_, k) => {
            let total = 0;
            for (const each of fovea(k)) total += open[each];
            return total;
          });
          const at = tensors.argmax(mass), gaze = place(at);
          for (const each of fovea(at)) now.examined[each] = 1;
          const found = Float32Array.from({length: 10}, (_, c) =>
            logSumExp(evidence.subarray(c * PLACES, (c + 1) * PLACES).filter((_, k) => now.examined[k])));
          now.fixations.push(gaze);
          now.expected.push(mass[at]);
          now.total.push(found);
          now.stopped = logSumExp(found) >= data.sure || now.fixations.length >= data.saccades;
          const fresh = logSoftmax(glance(image, gaze));
          for (let k = 0; k < PLACES; k++) {
            const apart = from(gaze, k);
            if (apart < nearest[k]) { now.posterior[k] = fresh[k]; nearest[k] = apart; }
          }
        },
        open: () => now.posterior.map((each, k) => now.examined[k] ? 0 : Math.exp(each)),  // not examined yet
      };
      const nearest = Float64Array.from({length: PLACES}, (_, k) => from([0, 0], k));
      return now;
    }
    return {begin};
  }

  function fovea(k) {  // the places within a fovea around a place
    const row = k / SIDE | 0, column = k % SIDE, found = [];
    for (let i = Math.max(0, row - REACH); i <= Math.min(SIDE - 1, row + REACH); i++)
      for (let j = Math.max(0, column - REACH); j <= Math.min(SIDE - 1, column + REACH); j++) found.push(i * SIDE + j);
    return found;
  }

  return {summary, searcher, logSumExp, place, SIDE, STEP, MARGIN};
})();

// ---- the explorer

explorers.search = async (root, live, data) => {
  const SIZE = 128, EDGE = 28, FOVEA = 44, FAR = 50, DIGIT = "#56b4e9", GAZE = "#d55e00", SLICE = 12;
  const {SIDE, STEP, MARGIN} = search, LOW = -10, HIGH = 25;  // log evidence painted darkest and brightest
  const [map, digits] = await Promise.all([tensors.network(data.map), tensors.unpack(data.digits)]);
  const amplitudes = tensors.spectrum(SIZE), textures = new Map(), now = {...data.start, view: 0, cell: null};
  let field, found = null, searcher = null, trace = null, wanted = 0, shown = 0, busy = false, frame = 0, note = "", views = null;

  // ---- what is computed

  function compose() {
    if (!textures.has(now.seed)) {
      const texture = tensors.cloud(SIZE, tensors.random(now.seed), amplitudes), mean = tensors.sum(texture.data) / SIZE ** 2;
      textures.set(now.seed, tensors.tensor([SIZE, SIZE], texture.data.map(each => each - mean)));
    }
    const ink = tensors.tensor([EDGE, EDGE], digits.data.subarray(now.digit * EDGE ** 2, (now.digit + 1) * EDGE ** 2));
    field = tensors.composeField(ink, now.offset, now.contrast, textures.get(now.seed), now.noise);
  }

  const rest = () => new Promise(done => setTimeout(done));

  // The map of the field that is shown, in slices; while the field changes, one map after the other.
  async function compute() {
    if (busy) return;
    busy = true;
    while (shown !== wanted) {
      const mine = wanted, work = tensors.forwarding(map, field);
      let step, since = performance.now();
      while (!(step = work.next()).done) if (performance.now() - since > SLICE) { await rest(); since = performance.now(); }
      found = search.summary(step.value.at(-1));
      shown = mine;
      soon();
    }
    busy = false;
  }

  function change(act) {
    act();
    trace = null;
    now.view = 0;
    if (views) views[0].checked = true;
    wanted++;
    compose();
    tell();
    soon();
    compute();
  }

  // ---- what is drawn

  const canvas = (label, more) => html("canvas", {class: "logpolar-canvas", "aria-label": label, ...more});
  const scene = canvas("The field. Drag, or use the arrow keys, to move the digit.", {tabindex: 0, role: "application"});
  const plane = canvas("The map. Point at a place, or use the arrow keys, for its evidence.", {tabindex: 0, role: "application"});
  const bars = range(10).map(k => html("div", {class: "transformer-bar"}, html("i"), html("span", {}, `${k}`)));
  const said = html("output", {class: "explorer-said", "aria-live": "polite"}), told = html("small", {class: "explorer-key"});
  const small = document.createElement("canvas");

  function surface(element) {  // its pen, in pixels of the field
    const edge = Math.max(1, Math.round((element.clientWidth || 300) * (window.devicePixelRatio || 1)));
    element.width = element.height = edge;
    const pen = element.getContext("2d");
    pen.setTransform(edge / SIZE, 0, 0, edge / SIZE, 0, 0);
    pen.imageSmoothingEnabled = false;
    return pen;
  }
  function picture(pen, edge, colour, [x, y, size]) {
    const context = small.getContext("2d"), pixels = context.createImageData(edge, edge);
    small.width = small.height = edge;
    for (let k = 0; k < edge ** 2; k++) pixels.data.set([...colour(k), 255], 4 * k);
    context.putImageData(pixels, 0, 0);
    pen.drawImage(small, x, y, size, size);
  }
  const ramp = share => {  // cividis, nearly
    const x = clamp(share, 0, 1), mix = (a, b, t) => a.map((each, k) => each + (b[k] - each) * t);
    return x < 0.5 ? mix([0, 32, 77], [124, 123, 120], 2 * x) : mix([124, 123, 120], [255, 234, 70], 2 * x - 1);
  };
  const square = (pen, [down, right], edge, colour, thick, dash = []) => {
    for (const [each, width] of [["#000000b0", thick + 0.7], [colour, thick]]) {
      Object.assign(pen, {strokeStyle: each, lineWidth: width});
      pen.setLineDash(dash);
      pen.strokeRect(SIZE / 2 + right - edge / 2, SIZE / 2 + down - edge / 2, edge, edge);
    }
    pen.setLineDash([]);
  };
  const at = ([down, right]) => [SIZE / 2 + right, SIZE / 2 + down];

  function drawPath(pen, fovea) {
    if (!trace?.fixations.length) return;
    const way = trace.fixations.map(at);
    if (fovea) square(pen, trace.fixations.at(-1), FOVEA, GAZE, 1);
    for (const [colour, width] of [["#000000b0", 2.4], [GAZE, 1.2]]) {
      pen.beginPath();
      way.forEach(point => pen.lineTo(...point));
      Object.assign(pen, {strokeStyle: colour, lineWidth: width});
      pen.stroke();
    }
    Object.assign(pen, {textAlign: "center", textBaseline: "middle", font: "bold 6px system-ui, sans-serif"});
    way.forEach(([x, y], k) => {
      pen.beginPath(); pen.arc(x, y, 4.2, 0, 7);
      pen.fillStyle = GAZE; pen.fill();
      pen.fillStyle = "#ffffff"; pen.fillText(`${k + 1}`, x, y + 0.4);
    });
  }

  function draw() {
    let pen = surface(scene);
    picture(pen, SIZE, k => [255 * field.data[k], 255 * field.data[k], 255 * field.data[k]], [0, 0, SIZE]);
    square(pen, now.offset, EDGE, DIGIT, 0.8, [3, 2]);
    drawPath(pen, true);
    plane.classList.toggle("search-stale", shown !== wanted);
    pen = surface(plane);
    pen.globalAlpha = 0.25;
    pen.drawImage(scene, 0, 0, SIZE, SIZE);
    pen.globalAlpha = 1;
    if (!found) return;
    const open = now.view ? trace?.open() : null, most = open ? Math.max(...open, 1e-9) : 1;
    const colour = open ? k => trace.examined[k] ? [95, 95, 95] : ramp(open[k] / most) : k => ramp((found.any[k] - LOW) / (HIGH - LOW));
    const first = SIZE / 2 - MARGIN - STEP / 2;
    picture(pen, SIDE, colour, [first, first, SIDE * STEP]);
    square(pen, now.offset, EDGE, DIGIT, 0.8, [3, 2]);
    if (now.view) drawPath(pen, false); else square(pen, search.place(found.best), STEP + 1, "#ffffff", 0.9);
    if (now.cell !== null) square(pen, search.place(now.cell), STEP + 1, GAZE, 1);
    describe();
  }

  function describe() {
    const stale = shown !== wanted, sums = trace?.fixations.length ? trace.total.at(-1) : found.field;
    const shares = tensors.softmax(sums), best = tensors.argmax(shares), right = best === now.digit;
    bars.forEach((bar, k) => {
      bar.firstChild.style.setProperty("--share", shares[k]);
      bar.classList.toggle("transformer-label", k === now.digit);
      bar.title = percent(shares[k]);
    });
    const answer = `classified as ${best} (${percent(shares[best])}) ${right ? "✓" : "✗"}`;
    const [down, right_] = search.place(found.best), apart = Math.hypot(down - now.offset[0], right_ - now.offset[1]);
    const number = value => `${Math.round(10 * value) / 10}`.replace("-", "−");
    said.className = `explorer-said ${right ? "explorer-right" : ""}`;
    if (note || stale) said.textContent = note || "computing the map …";
    else if (trace?.fixations.length) {
      const n = trace.fixations.length, total = search.logSumExp(sums);
      said.textContent = `Fixation ${n}: ${percent(trace.expected.at(-1))} of the estimated posterior was in this fovea; log evidence so far ${number(total)}; ${answer}`
        + (trace.stopped ? total >= data.sure ? `. The search stops: the evidence has reached ${data.sure}.` : `. The search stops after ${data.saccades} fixations.` : ".");
    } else said.textContent = `Highest log evidence ${number(found.any[found.best])}, ${apart.toFixed(0)} px from the digit's middle${apart > 14 ? ": it has left the digit" : ""}; ${answer}.`;
    if (now.cell !== null) {
      const here = range(10).map(c => found.evidence[c * SIDE ** 2 + now.cell]), top = tensors.argmax(here), [y, x] = search.place(now.cell);
      told.textContent = `The place ${away(y, x)}: log evidence for any digit ${number(found.any[now.cell])}; highest for ${top} (${number(here[top])}).`;
    } else told.textContent = now.view
      ? "Map: the posterior over places as estimated from the periphery, relative to its maximum; grey: places examined. Orange: fixations, and the last fovea in the field. Dashed: the digit."
      : `Map: log evidence for any digit at each place, from ${number(LOW)} or less (dark) to ${HIGH} or more (yellow). White: its highest place. Dashed: the digit.`;
    again.disabled = !trace;
    next.disabled = Boolean(trace?.stopped) || stale;
    next.textContent = trace?.fixations.length ? "Next fixation" : "Search with the fovea";
  }

  const soon = () => { frame ||= requestAnimationFrame(() => { frame = 0; draw(); }); };

  // ---- what the reader does

  const put = (down, right) => change(() => { now.offset = [down, right].map(each => clamp(Math.round(each), -FAR, FAR)); });
  let held = false;
  const follow = event => {
    const box = scene.getBoundingClientRect(), unit = box.width / SIZE;
    put((event.clientY - box.top) / unit - SIZE / 2, (event.clientX - box.left) / unit - SIZE / 2);
  };
  scene.addEventListener("pointerdown", event => { held = true; scene.setPointerCapture(event.pointerId); follow(event); });
  scene.addEventListener("pointermove", event => { if (held) follow(event); });
  for (const kind of ["pointerup", "pointercancel"]) scene.addEventListener(kind, () => { held = false; });
  arrows(scene, (right, down) => put(now.offset[0] + 2 * down, now.offset[1] + 2 * right));

  const select = (row, column) => { now.cell = clamp(row, 0, SIDE - 1) * SIDE + clamp(column, 0, SIDE - 1); soon(); };
  pointing(plane, (x, y) => {
    const cell = each => Math.floor((each / plane.clientWidth * SIZE - SIZE / 2 + MARGIN + STEP / 2) / STEP);
    select(cell(y), cell(x));
  });
  plane.addEventListener("pointerleave", () => { now.cell = null; soon(); });
  plane.addEventListener("blur", () => { now.cell = null; soon(); });
  arrows(plane, (right, down) => found && select(((now.cell ?? found.best) / SIDE | 0) + down, (now.cell ?? found.best) % SIDE + right));

  const button = (text, act) => {
    const made = html("button", {type: "button", class: "explorer-button"}, text);
    made.addEventListener("click", act);
    return made;
  };
  async function begun() {  // whether the field's search has begun: its retina is made when it is first asked for
    if (shown !== wanted) return false;
    const mine = wanted;
    searcher ??= search.searcher(data, share => { note = `making the retina's filters: ${Math.round(100 * share)} %`; soon(); });
    const {begin} = await searcher;
    note = "";
    soon();
    if (mine !== wanted) return false;
    trace ??= begin(field.data, found.evidence);
    return true;
  }
  const look = k => { views[k].checked = true; now.view = k; soon(); };
  const next = button("Search with the fovea", async () => {
    if (!await begun() || trace.stopped) return;
    trace.step();
    look(1);
  });
  const another = button("Another field", () => {
    const draws = tensors.random(now.seed + 1), angle = 2 * Math.PI * draws.uniform(), far = 40 * draws.uniform();
    change(() => Object.assign(now, {seed: now.seed + 1, digit: Math.floor(10 * draws.uniform()),
      offset: [Math.round(far * Math.sin(angle)), Math.round(far * Math.cos(angle))]}));
  });
  const again = button("Forget the fixations", () => { trace = null; look(0); });
  const view = choice(root, "map", ["evidence", "estimate from the periphery"], 0, async k => { look(k); if (k) await begun(); });
  views = view.querySelectorAll("input");
  const sliders = {
    contrast: slider("contrast", 5, 100, value => change(() => { now.contrast = value / 100; })),
    noise: slider("noise", 0, 100, value => change(() => { now.noise = value / 100; })),
    digit: slider("digit", 0, 9, value => change(() => { now.digit = value; })),
  };
  function tell() {
    sliders.contrast.tell(Math.round(100 * now.contrast), `${Math.round(100 * now.contrast)} %`);
    sliders.noise.tell(Math.round(100 * now.noise), now.noise.toFixed(2));
    sliders.digit.tell(now.digit, `${now.digit}`);
  }

  const card = (title, element) => html("div", {class: "explorer-card logpolar-card"}, html("span", {}, title), element);
  live.append(
    html("div", {class: "logpolar-pair"}, card("the field: drag the digit", scene), card("the map", plane)), view, said,
    html("div", {class: "transformer-bars search-bars", role: "img", "aria-label": "Probability of each digit"}, ...bars), told,
    html("div", {class: "explorer-row explorer-tools"}, next, again, another), ...Object.values(sliders).map(each => each.box));
  root.show = more => change(() => Object.assign(now, more));
  root.numbers = () => ({
    settled: shown === wanted && found !== null, offset: now.offset, image: [...field.data], evidence: found && [...found.evidence],
    fixations: trace?.fixations ?? [], expected: trace?.expected ?? [], total: (trace?.total ?? []).map(each => [...each]),
    stopped: trace?.stopped ?? false, said: said.textContent,
  });
  change(() => {});
  new ResizeObserver(soon).observe(scene);
};
