// Numbers for the explorers: tensors, small networks, the bilinear sampler, Fourier transforms, random draws. It needs
// neither the page nor the network, and its numbers are PyTorch's (tests/test_tensors.py holds them to 1e-3). An explorer
// that computes is a file beside this one, NAME.js, which sets `explorers.NAME = (root, live, data) => {...}`; Python puts
// it on a page with `explorers.made("NAME", data, still, alt, caption, ("tensors.js", "NAME.js"))`.
//
// Convention
//   tensor       {shape, data}: `data` is a Float32Array in row-major order; an image is (channels, h, w)
//   theta        [a, b, tx, c, d, ty], the 2x3 matrix row by row; maps *output* to *input* coordinates, both (x, y) =
//                (right, down) in [-1, 1], where -1 and 1 are the outer edges of the outer pixels (align_corners=False)
//   padding      the value of every pixel outside the image; 0 unless given
//
// Tensors
//   tensor(shape, data?)                         zeros without data
//   decode({shape, dtype, data, scale?})         from base64, little-endian; dtype "float32", "float16", "int8" or "uint8";
//                                                the numbers are multiplied by `scale`, a number or one per row (first axis)
//   unpack({shape, dtype, data, scale?, packed}) a promise of the same; packed: "deflate" (zlib) before base64
//   matmul(a, b)                                 (n, k), (k, m) -> (n, m)
//   argmax(data), sum(data), dot(a, b)           of arrays
//   pad(image, [top, bottom, left, right], mode?) "zeros", or "wrap": circular
//   resize(image, h, w)                          bilinear (F.interpolate, align_corners=False)
// Layers
//   conv2d(image, weight, bias?, stride = 1, padding = 0)      weight (out, in, kh, kw); a cross-correlation, zeros around
//   conv2dBackward(grad, weight, shape, stride, padding)       d loss / d image, of the image's shape
//   maxPool2d(image, size = 2)                                 also gives `index`, where in the image each maximum was
//   avgPool2d(image, size = 2)
//   dense(x, weight, bias?), denseBackward(grad, weight)       weight (out, in); x is flattened
//   relu(x), groupNorm(x, weight, bias, eps = 1e-5)            one group; weight and bias per first axis
//   softmax(data), crossEntropy(logits, label)                 the latter {loss, grad}
// Networks: a list of layers, {kind: "conv", weight, bias, stride, padding}, {kind: "dense", weight, bias},
//           {kind: "relu"}, {kind: "pool", size}, {kind: "subtract", value}, {kind: "affine", weight, bias}: per channel;
//           `tensors.network` in Python writes one
//   network(layers)                              a promise of the same layers with their tensors unpacked
//   forward(layers, image)                       [image, ..., output]: what goes into each layer, and what comes out
//   forwarding(layers, image)                    the same work in slices: an iterator, whose last value is what forward gives
//   backward(layers, activations, grad)          d loss / d image, from d loss / d output
// Sampler
//   affineGrid(theta, h, w)                      (h, w, 2): the point (x, y) at which each output pixel is read
//   gridSample(image, grid, padding = 0)         (channels, h, w)
//   gridSampleBackward(image, grid, grad, padding = 0)   d loss / d grid, (h, w, 2)
//   affineGridBackward(grad)                     d loss / d theta, six numbers
// Fourier transforms: of arrays, in place, any length; the inverse divides by n, as in NumPy and PyTorch
//   fft(re, im, inverse = false), fft2(re, im, h, w, inverse = false)
// Stimuli
//   composeField(ink, [down, right], contrast, texture, noise)   a visual field (1, h, w) in [0, 1]: a digit (28, 28) with
//                                                its middle so many pixels from the field's, on a texture (h, w) about 0
//   spectrum(n, preferred, bandwidth)            the amplitudes (n, n) of MotionClouds, FFT order; cycles per pixel
//   cloud(n, draws, amplitudes)                  a texture (n, n) about 0, of draws from `random`, see `textures.fields`
// Others
//   random(seed)                                 {uniform(), normal()}: the same numbers in every browser
//   conjugateGradient(apply, b, steps)           x of A x = b; apply(x) = A x, symmetric and positive definite

const tensors = (() => {
  const count = shape => shape.reduce((product, n) => product * n, 1);
  const tensor = (shape, data) => ({shape: [...shape], data: data ?? new Float32Array(count(shape))});

  // ---- numbers from text

  const bytes = text => Uint8Array.from(atob(text), each => each.charCodeAt(0));

  function half(bits) {  // a float16, from its 16 bits
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  }

  function numbers({shape, dtype, scale = 1}, raw) {
    const kinds = {float32: Float32Array, float16: Uint16Array, int8: Int8Array, uint8: Uint8Array};
    const values = Float32Array.from(new kinds[dtype](raw.buffer, raw.byteOffset), dtype === "float16" ? half : undefined);
    const each = typeof scale === "number" ? values.length : values.length / scale.length;
    for (let k = 0; k < values.length; k++) values[k] *= typeof scale === "number" ? scale : scale[k / each | 0];
    return tensor(shape, values);
  }

  const decode = coded => numbers(coded, bytes(coded.data));

  async function unpack(coded) {
    if (!coded.packed) return decode(coded);
    const stream = new Blob([bytes(coded.data)]).stream().pipeThrough(new DecompressionStream(coded.packed));
    return numbers(coded, new Uint8Array(await new Response(stream).arrayBuffer()));
  }

  // ---- arrays and tensors

  const sum = data => data.reduce((total, each) => total + each, 0);
  const argmax = data => data.reduce((best, each, k) => each > data[best] ? k : best, 0);
  const dot = (a, b) => { let total = 0; for (let k = 0; k < a.length; k++) total += a[k] * b[k]; return total; };

  function matmul(a, b) {
    const [n, size] = a.shape, m = b.shape[1], out = tensor([n, m]), left = a.data, right = b.data, to = out.data;
    for (let i = 0; i < n; i++) for (let k = 0; k < size; k++) {
      const factor = left[i * size + k], from = k * m, at = i * m;
      for (let j = 0; j < m; j++) to[at + j] += factor * right[from + j];
    }
    return out;
  }

  function pad(image, [top, bottom, left, right], mode = "zeros") {
    const [channels, h, w] = image.shape, out = tensor([channels, h + top + bottom, w + left + right]);
    const [, height, width] = out.shape, wrap = mode === "wrap";
    for (let c = 0; c < channels; c++) for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) {
      let y = i - top, x = j - left;
      if (wrap) { y = (y % h + h) % h; x = (x % w + w) % w; }
      if (y >= 0 && y < h && x >= 0 && x < w) out.data[(c * height + i) * width + j] = image.data[(c * h + y) * w + x];
    }
    return out;
  }

  function resize(image, h, w) {
    const [channels, height, width] = image.shape, out = tensor([channels, h, w]);
    for (let i = 0; i < h; i++) for (let j = 0; j < w; j++) {
      const y = Math.max(0, (i + 0.5) * height / h - 0.5), x = Math.max(0, (j + 0.5) * width / w - 0.5);
      const top = Math.floor(y), left = Math.floor(x), below = Math.min(top + 1, height - 1), right = Math.min(left + 1, width - 1);
      for (let c = 0; c < channels; c++) {
        const at = (row, column) => image.data[(c * height + row) * width + column], u = x - left, v = y - top;
        out.data[(c * h + i) * w + j] = (1 - v) * ((1 - u) * at(top, left) + u * at(top, right)) + v * ((1 - u) * at(below, left) + u * at(below, right));
      }
    }
    return out;
  }

  // ---- layers

  // The pixels under each weight of a kernel, one row per weight, one column per output pixel, and back again: calls
  // act(place in the columns, place in the image) for every pixel inside the image.
  function unfolded([channels, h, w], [, , kh, kw], [, height, width], stride, padding, act) {
    for (let c = 0, at = 0; c < channels; c++) for (let y = 0; y < kh; y++) for (let x = 0; x < kw; x++)
      for (let i = 0; i < height; i++) {
        const row = i * stride + y - padding;
        if (row < 0 || row >= h) { at += width; continue; }
        for (let j = 0, column = x - padding, from = (c * h + row) * w; j < width; j++, at++, column += stride)
          if (column >= 0 && column < w) act(at, from + column);
      }
  }

  const drain = work => { for (;;) { const {done, value} = work.next(); if (done) return value; } };

  // A convolution that pauses after every output channel, four rows of the kernel at a time.
  function* convolving(image, weight, bias, stride = 1, padding = 0) {
    const [outputs, inputs, kh, kw] = weight.shape, [, h, w] = image.shape, size = inputs * kh * kw;
    const out = tensor([outputs, Math.floor((h + 2 * padding - kh) / stride) + 1, Math.floor((w + 2 * padding - kw) / stride) + 1]);
    const area = out.shape[1] * out.shape[2], columns = new Float32Array(size * area), from = image.data, factors = weight.data;
    unfolded(image.shape, weight.shape, out.shape, stride, padding, (at, pixel) => { columns[at] = from[pixel]; });
    for (let o = 0; o < outputs; o++) {
      yield;
      const row = out.data.subarray(o * area, (o + 1) * area);
      if (bias) row.fill(bias.data[o]);
      let k = o * size, at = 0;
      for (const end = (o + 1) * size - 3; k < end; k += 4, at += 4 * area) {
        const a = factors[k], b = factors[k + 1], c = factors[k + 2], d = factors[k + 3];
        for (let j = 0, p = at, q = at + area, r = at + 2 * area, s = at + 3 * area; j < area; j++)
          row[j] += a * columns[p++] + b * columns[q++] + c * columns[r++] + d * columns[s++];
      }
      for (; k < (o + 1) * size; k++, at += area) for (let j = 0; j < area; j++) row[j] += factors[k] * columns[at + j];
    }
    return out;
  }

  const conv2d = (...given) => drain(convolving(...given));

  function conv2dBackward(grad, weight, shape, stride = 1, padding = 0) {
    const [outputs, inputs, kh, kw] = weight.shape, size = inputs * kh * kw, area = grad.shape[1] * grad.shape[2];
    const out = tensor(shape), columns = new Float32Array(size * area);
    for (let o = 0; o < outputs; o++) {
      const row = grad.data.subarray(o * area, (o + 1) * area);
      if (row.every(each => each === 0)) continue;
      for (let k = 0; k < size; k++) {
        const factor = weight.data[o * size + k];
        for (let j = 0, at = k * area; j < area; j++, at++) columns[at] += factor * row[j];
      }
    }
    unfolded(shape, weight.shape, grad.shape, stride, padding, (at, pixel) => { out.data[pixel] += columns[at]; });
    return out;
  }

  function pooled(image, size, act) {
    const [channels, h, w] = image.shape, height = Math.floor(h / size), width = Math.floor(w / size);
    const out = tensor([channels, height, width]);
    for (let c = 0; c < channels; c++) for (let i = 0; i < height; i++) for (let j = 0; j < width; j++)
      act(out.data, (c * height + i) * width + j, (c * h + i * size) * w + j * size, w);
    return out;
  }

  function maxPool2d(image, size = 2) {
    const index = [];
    const out = pooled(image, size, (data, at, first, w) => {
      let best = first;
      for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) {
        const k = first + y * w + x;
        if (image.data[k] > image.data[best]) best = k;
      }
      data[at] = image.data[index[at] = best];
    });
    return {...out, index};
  }

  const avgPool2d = (image, size = 2) => pooled(image, size, (data, at, first, w) => {
    for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) data[at] += image.data[first + y * w + x] / (size * size);
  });

  function dense(x, weight, bias) {
    const [outputs, inputs] = weight.shape, out = tensor([outputs]);
    for (let o = 0; o < outputs; o++) {
      let total = bias ? bias.data[o] : 0;
      for (let k = 0, at = o * inputs; k < inputs; k++) total += weight.data[at + k] * x.data[k];
      out.data[o] = total;
    }
    return out;
  }

  function denseBackward(grad, weight) {
    const [outputs, inputs] = weight.shape, out = tensor([inputs]);
    for (let o = 0; o < outputs; o++) {
      const factor = grad.data[o];
      if (factor) for (let k = 0, at = o * inputs; k < inputs; k++) out.data[k] += factor * weight.data[at + k];
    }
    return out;
  }

  const relu = x => tensor(x.shape, x.data.map(each => Math.max(0, each)));

  function groupNorm(x, weight, bias, eps = 1e-5) {
    const n = x.data.length, mean = sum(x.data) / n, each = n / x.shape[0];
    const deviation = Math.sqrt(x.data.reduce((total, value) => total + (value - mean) ** 2, 0) / n + eps);
    return tensor(x.shape, x.data.map((value, k) => (value - mean) / deviation * weight.data[k / each | 0] + bias.data[k / each | 0]));
  }

  function softmax(data) {
    const most = Math.max(...data), powers = Float32Array.from(data, each => Math.exp(each - most)), total = sum(powers);
    return powers.map(each => each / total);
  }

  function crossEntropy(logits, label) {
    const grad = softmax(logits.data), most = Math.max(...logits.data);
    const loss = most + Math.log(sum(logits.data.map(each => Math.exp(each - most)))) - logits.data[label];
    grad[label] -= 1;
    return {loss, grad: tensor(logits.shape, grad)};
  }

  // ---- networks

  const network = layers => Promise.all(layers.map(async layer => {
    const [weight, bias] = await Promise.all([layer.weight, layer.bias].map(coded => coded && unpack(coded)));
    return {...layer, weight, bias};
  }));

  const steps = {
    dense: (x, {weight, bias}) => dense(x, weight, bias),
    relu,
    pool: (x, {size}) => maxPool2d(x, size),
    subtract: (x, {value}) => tensor(x.shape, x.data.map(each => each - value)),
    affine(x, {weight, bias}) {
      const area = x.data.length / x.shape[0];
      return tensor(x.shape, x.data.map((each, k) => each * weight.data[k / area | 0] + bias.data[k / area | 0]));
    },
  };

  function* forwarding(layers, image) {
    const made = [image];
    for (const layer of layers) {
      const x = made.at(-1), {kind, weight, bias, stride, padding} = layer;
      made.push(kind === "conv" ? yield* convolving(x, weight, bias, stride, padding) : steps[kind](x, layer));
    }
    return made;
  }

  const forward = (layers, image) => drain(forwarding(layers, image));

  function unpooled(grad, {index}, {shape}) {
    const out = tensor(shape);
    index.forEach((from, k) => { out.data[from] += grad.data[k]; });
    return out;
  }

  const back = {
    conv: (grad, {weight, stride, padding}, x) => conv2dBackward(grad, weight, x.shape, stride, padding),
    dense: (grad, {weight}, x) => tensor(x.shape, denseBackward(grad, weight).data),
    relu: (grad, layer, x) => tensor(x.shape, grad.data.map((each, k) => x.data[k] > 0 ? each : 0)),
    pool: (grad, layer, x, y) => unpooled(grad, y, x),
    subtract: grad => grad,
    affine: (grad, {weight}, x) => tensor(x.shape, grad.data.map((each, k) => each * weight.data[k / (x.data.length / x.shape[0]) | 0])),
  };

  const backward = (layers, activations, grad) => layers.reduceRight(
    (made, layer, k) => back[layer.kind](made, layer, activations[k], activations[k + 1]), grad);

  // ---- the sampler

  function affineGrid([a, b, tx, c, d, ty], h, w) {
    const grid = tensor([h, w, 2]);
    for (let i = 0, k = 0; i < h; i++) for (let j = 0; j < w; j++) {
      const x = (2 * j + 1) / w - 1, y = (2 * i + 1) / h - 1;
      grid.data[k++] = a * x + b * y + tx;
      grid.data[k++] = c * x + d * y + ty;
    }
    return grid;
  }

  // Calls act(output pixel, its four pixels, the place u right and v below the first of them) for a channel of an image.
  function sampled(image, grid, padding, act) {
    const [channels, h, w] = image.shape, points = grid.data.length / 2;
    for (let c = 0; c < channels; c++) for (let k = 0; k < points; k++) {
      const x = ((grid.data[2 * k] + 1) * w - 1) / 2, y = ((grid.data[2 * k + 1] + 1) * h - 1) / 2;
      const left = Math.floor(x), top = Math.floor(y);
      const at = (row, column) => row >= 0 && row < h && column >= 0 && column < w ? image.data[(c * h + row) * w + column] : padding;
      act(c * points + k, at(top, left), at(top, left + 1), at(top + 1, left), at(top + 1, left + 1), x - left, y - top);
    }
  }

  function gridSample(image, grid, padding = 0) {
    const out = tensor([image.shape[0], grid.shape[0], grid.shape[1]]);
    sampled(image, grid, padding, (k, p, q, r, s, u, v) => {
      out.data[k] = (1 - v) * ((1 - u) * p + u * q) + v * ((1 - u) * r + u * s);
    });
    return out;
  }

  function gridSampleBackward(image, grid, grad, padding = 0) {
    const [, h, w] = image.shape, out = tensor(grid.shape), points = grid.data.length / 2;
    sampled(image, grid, padding, (k, p, q, r, s, u, v) => {
      const at = 2 * (k % points);
      out.data[at] += grad.data[k] * ((1 - v) * (q - p) + v * (s - r)) * w / 2;
      out.data[at + 1] += grad.data[k] * ((1 - u) * (r - p) + u * (s - q)) * h / 2;
    });
    return out;
  }

  function affineGridBackward(grad) {
    const [h, w] = grad.shape, theta = new Float64Array(6);
    for (let i = 0, k = 0; i < h; i++) for (let j = 0; j < w; j++, k += 2) {
      const x = (2 * j + 1) / w - 1, y = (2 * i + 1) / h - 1;
      [x, y, 1].forEach((each, n) => { theta[n] += each * grad.data[k]; theta[3 + n] += each * grad.data[k + 1]; });
    }
    return theta;
  }

  // ---- Fourier transforms

  function fft(re, im, inverse = false) {
    const n = re.length;
    if (inverse) [re, im] = [im, re];  // the inverse is the transform with real and imaginary parts exchanged
    if (n & n - 1) bluestein(re, im); else radix2(re, im);
    if (inverse) for (let k = 0; k < n; k++) { re[k] /= n; im[k] /= n; }
  }

  const tables = new Map();  // n -> cosines and sines of k / n turns, k < n / 2
  function turns(n) {
    if (!tables.has(n)) {
      const angles = Array.from({length: n / 2}, (_, k) => 2 * Math.PI * k / n);
      tables.set(n, [Float64Array.from(angles, Math.cos), Float64Array.from(angles, Math.sin)]);
    }
    return tables.get(n);
  }

  function radix2(re, im) {
    const n = re.length, [cosines, sines] = turns(n);
    for (let i = 1, j = 0; i < n; i++) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        const x = re[i], y = im[i];
        re[i] = re[j]; im[i] = im[j]; re[j] = x; im[j] = y;
      }
    }
    for (let size = 2; size <= n; size *= 2) {
      const part = size / 2, step = n / size;
      for (let k = 0; k < part; k++) {
        const c = cosines[k * step], s = -sines[k * step];
        for (let i = k; i < n; i += size) {
          const j = i + part, x = re[j] * c - im[j] * s, y = re[j] * s + im[j] * c;
          re[j] = re[i] - x; im[j] = im[i] - y; re[i] += x; im[i] += y;
        }
      }
    }
  }

  function bluestein(re, im) {  // any length, as a convolution with a chirp
    const n = re.length;
    let size = 1;
    while (size < 2 * n - 1) size *= 2;
    const [a, b, c, d] = [1, 2, 3, 4].map(() => new Float64Array(size));
    const angle = k => Math.PI * (k * k % (2 * n)) / n;
    for (let k = 0; k < n; k++) {
      const cos = Math.cos(angle(k)), sin = Math.sin(angle(k));
      a[k] = re[k] * cos + im[k] * sin;
      b[k] = im[k] * cos - re[k] * sin;
      c[k] = c[(size - k) % size] = cos;
      d[k] = d[(size - k) % size] = sin;
    }
    radix2(a, b);
    radix2(c, d);
    for (let k = 0; k < size; k++) [a[k], b[k]] = [a[k] * c[k] - b[k] * d[k], a[k] * d[k] + b[k] * c[k]];
    fft(a, b, true);
    for (let k = 0; k < n; k++) {
      const cos = Math.cos(angle(k)), sin = Math.sin(angle(k));
      re[k] = a[k] * cos + b[k] * sin;
      im[k] = b[k] * cos - a[k] * sin;
    }
  }

  function fft2(re, im, h, w, inverse = false) {
    const along = (length, number, index) => {
      const x = new Float64Array(length), y = new Float64Array(length);
      for (let line = 0; line < number; line++) {
        for (let k = 0; k < length; k++) { x[k] = re[index(line, k)]; y[k] = im[index(line, k)]; }
        fft(x, y, inverse);
        for (let k = 0; k < length; k++) { re[index(line, k)] = x[k]; im[index(line, k)] = y[k]; }
      }
    };
    along(w, h, (row, column) => row * w + column);
    along(h, w, (column, row) => row * w + column);
  }

  // ---- stimuli

  function composeField(ink, [down, right], contrast, texture, noise) {  // `stimuli.compose_field`
    const [h, w] = texture.shape, [height, width] = ink.shape, field = tensor([1, h, w], Float32Array.from(texture.data));
    let peak = 0, brightest = 1, low = Infinity, high = -Infinity;
    for (const each of field.data) peak = Math.max(peak, Math.abs(each));
    if (noise === 0) field.data.fill(0);
    for (const each of ink.data) brightest = Math.max(brightest, each);
    const gain = contrast * (noise === 0 ? 1 : peak / noise) / brightest;
    const top = (h - height) / 2 + down, left = (w - width) / 2 + right;
    for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) {
      const level = (2 * ink.data[i * width + j] - brightest) * gain, at = (top + i) * w + left + j;
      if (level > 0) field.data[at] = Math.max(level, field.data[at]);
    }
    for (const each of field.data) { low = Math.min(low, each); high = Math.max(high, each); }
    for (let i = 0; i < h; i++) for (let j = 0; j < w; j++) {
      const at = i * w + j, inside = (2 * i - h + 1) ** 2 + (2 * j - w + 1) ** 2 < (w - 1) ** 2;
      field.data[at] = inside ? (field.data[at] - low) / Math.max(high - low, 1e-30) : 0.5;
    }
    return field;
  }

  // A Gaussian of the logarithm of the frequency over the frequency (`textures.envelope`), nothing at frequency 0.
  function spectrum(n, preferred = 0.1, bandwidth = 0.1) {
    const width = Math.log((preferred + bandwidth) / preferred), out = tensor([n, n]);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
      const f = Math.hypot(i < n / 2 ? i : i - n, j < n / 2 ? j : j - n) / n;
      if (f) out.data[i * n + j] = Math.exp(-0.5 * (Math.log(f / preferred) / width) ** 2) / f;
    }
    return out;
  }

  function cloud(n, draws, amplitudes) {
    const re = new Float64Array(n * n), im = new Float64Array(n * n);
    for (let k = 0; k < n * n; k++) { re[k] = amplitudes.data[k] * draws.normal(); im[k] = amplitudes.data[k] * draws.normal(); }
    fft2(re, im, n, n, true);
    return tensor([n, n], Float32Array.from(re));
  }

  // ---- others

  function random(seed) {  // mulberry32
    let state = seed >>> 0;
    const uniform = () => {
      state = state + 0x6d2b79f5 >>> 0;
      let t = Math.imul(state ^ state >>> 15, state | 1);
      t ^= t + Math.imul(t ^ t >>> 7, t | 61);
      return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return {uniform, normal};
  }

  function conjugateGradient(apply, b, steps) {
    const x = new Float64Array(b.length), residual = Float64Array.from(b), direction = Float64Array.from(b);
    let size = dot(residual, residual);
    for (let step = 0; step < steps && size > 1e-20; step++) {
      const image = apply(direction), length = size / dot(direction, image);
      for (let k = 0; k < x.length; k++) { x[k] += length * direction[k]; residual[k] -= length * image[k]; }
      const next = dot(residual, residual);
      for (let k = 0; k < x.length; k++) direction[k] = residual[k] + next / size * direction[k];
      size = next;
    }
    return x;
  }

  return {
    tensor, decode, unpack, matmul, argmax, sum, dot, pad, resize, conv2d, conv2dBackward, maxPool2d, avgPool2d, dense,
    denseBackward, relu, groupNorm, softmax, crossEntropy, network, forward, forwarding, backward, affineGrid, gridSample,
    gridSampleBackward, affineGridBackward, fft, fft2, composeField, spectrum, cloud, random, conjugateGradient,
  };
})();
