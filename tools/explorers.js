/* Explorers: networks that the course has trained, run by the page itself, without a kernel or a server.

   An element with data-explorer="plane" holds a still picture until it comes into view. Then a script with the network
   is loaded, explorers/plane.js, which `tools/explorers.py` has written, and controls take the place of the picture.
   Another explorer is a function that returns its parts, and an entry in EXPLORERS there and in BUILD here. */
"use strict";

globalThis.explorers = (() => {
  // ---- Networks ----------------------------------------------------------------------------------------------------
  const list = (length, of) => Array.from({ length }, (_, i) => of(i));
  const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  /** Bytes in half precision, each number a sign, 5 bits of exponent and 10 of mantissa, as numbers. */
  function halves(bytes) {
    const units = list(32, (exponent) => 2 ** (Math.max(exponent, 1) - 25));
    return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
      const high = bytes[2 * i + 1], exponent = (high >> 2) & 31;
      const size = units[exponent] * ((exponent ? 1024 : 0) + ((high & 3) << 8) + bytes[2 * i]);
      return high >> 7 ? -size : size;
    });
  }

  /** a · bᵀ for matrices (rows, depth) and (columns, depth), flat, of which b starts at `from`. It takes two rows and
      four columns at a time, so that each number it reads serves several products; a last odd one is taken twice. */
  function products(a, b, from, columns, depth) {
    const rows = a.length / depth, result = new Float32Array(rows * columns);
    for (let c0 = 0; c0 < columns; c0 += 4) {
      const c1 = Math.min(c0 + 1, columns - 1), c2 = Math.min(c0 + 2, columns - 1), c3 = Math.min(c0 + 3, columns - 1);
      for (let r0 = 0; r0 < rows; r0 += 2) {
        const r1 = Math.min(r0 + 1, rows - 1), to0 = r0 * columns, to1 = r1 * columns, end = (r0 + 1) * depth;
        let i = r0 * depth, j = r1 * depth, k = from + c0 * depth, l = from + c1 * depth, m = from + c2 * depth;
        let ik = 0, il = 0, im = 0, io = 0, jk = 0, jl = 0, jm = 0, jo = 0;
        for (let o = from + c3 * depth; i < end; i++, j++, k++, l++, m++, o++) {
          const x = a[i], y = a[j], p = b[k], q = b[l], r = b[m], s = b[o];
          ik += x * p; il += x * q; im += x * r; io += x * s;
          jk += y * p; jl += y * q; jm += y * r; jo += y * s;
        }
        result[to0 + c0] = ik; result[to0 + c1] = il; result[to0 + c2] = im; result[to0 + c3] = io;
        result[to1 + c0] = jk; result[to1 + c1] = jl; result[to1 + c2] = jm; result[to1 + c3] = jo;
      }
    }
    return result;
  }

  /** Scale and bias of each unit, or filter, applied in place. */
  function scaled(x, { scale: [scale], bias: [bias, end] }, { units }) {
    for (let i = 0, unit = 0; i < x.length; i++, unit = (unit + 1) % (end - bias)) {
      x[i] = units[bias + unit] + units[scale + unit] * x[i];
    }
    return x;
  }

  /** The `count` rows of a flat matrix. */
  const rowsOf = (x, count, size = x.length / count) => list(count, (row) => x.subarray(row * size, (row + 1) * size));

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const ACTIVATIONS = { relu: (x) => Math.max(x, 0), sigmoid, silu: (x) => x * sigmoid(x) };

  /* Kind of a node -> function of the node, the values that it reads, the network, and the number of examples. Values
     are flat; images are in the order of rows, columns and channels. */
  const KINDS = {
    one_hot: ({ count }, [labels]) => Float32Array.from({ length: labels.length * count }, (_, i) => (
      Number(i % count === labels[Math.floor(i / count)])
    )),
    concatenate(node, read, network, batch) {
      const parts = read.map((part) => rowsOf(part, batch));
      return Float32Array.from(list(batch, (row) => parts.flatMap((part) => [...part[row]])).flat());
    },
    add: (node, [x, y]) => x.map((value, i) => value + y[i]),
    multiply: (node, [x, y]) => x.map((value, i) => value * y[i]),
    activation: (node, [x]) => x.map(ACTIVATIONS[node.function]),
    rescale: (node, [x], network) => scaled(x.slice(), node, network),
    dense(node, [x], network, batch) {
      const depth = x.length / batch, units = node.bias[1] - node.bias[0];
      return scaled(products(x, network.kernels, node.kernel[0], units, depth), node, network);
    },
    layer_normalization(node, [x], network, batch) {
      const result = x.slice(), meanOf = (row, of) => row.reduce((sum, value) => sum + of(value), 0) / row.length;
      for (const row of rowsOf(result, batch)) {
        const mean = meanOf(row, (value) => value), variance = meanOf(row, (value) => (value - mean) ** 2);
        row.forEach((value, i) => (row[i] = (value - mean) / Math.sqrt(variance + node.epsilon)));
      }
      return scaled(result, node, network);
    },
    /** Each pixel of the input adds its channels, weighted by the kernel, to size × size pixels of the output. */
    transposed_convolution(node, [x], network, batch) {
      const { size, stride, cut, input: [height, width, channels], output: [rows, columns, filters] } = node;
      const parts = products(x, network.kernels, node.kernel[0], size * size * filters, channels);
      const sums = new Float32Array(batch * rows * columns * filters);
      for (let pixel = 0, from = 0; pixel < batch * height * width; pixel++) {
        const image = Math.floor(pixel / (height * width)), line = Math.floor(pixel / width) % height;
        const top = line * stride - cut, left = (pixel % width) * stride - cut;
        for (let row = top; row < top + size; row++) {
          for (let column = left; column < left + size; column++, from += filters) {
            if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
            const to = ((image * rows + row) * columns + column) * filters;
            for (let filter = 0; filter < filters; filter++) sums[to + filter] += parts[from + filter];
          }
        }
      }
      return scaled(sums, node, network);
    },
  };

  /** The outputs of a network, flat, for `batch` examples; `inputs` has an array for each input. */
  function run(network, inputs, batch = 1) {
    const values = inputs.map((input) => Float32Array.from(input));  // the first nodes
    for (const node of network.nodes.slice(inputs.length)) {
      values.push(KINDS[node.kind](node, node.from.map((number) => values[number]), network, batch));
    }
    return values.at(-1);
  }

  /** A function that returns the next standard normal numbers, the same ones on every visit, by Box and Muller. */
  function normals() {
    let state = 314159;
    const uniform = () => (state = (48271 * state) % 2147483647) / 2147483647;  // Park and Miller's generator
    return (count) => list(count, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
  }

  // ---- Parts of a page ---------------------------------------------------------------------------------------------
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  /** A canvas for images of shape (height, width, channels) with pixels in [0, 1], and `paint`, which shows one. */
  function picture([height, width, channels], label) {
    const canvas = make("canvas", { class: "explorer-picture", height, width, role: "img", "aria-label": label });
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    const paint = (pixels) => {
      for (let i = 0; i < 4 * width * height; i++) {
        image.data[i] = i % 4 === 3 ? 255 : 255 * pixels[(i >> 2) * channels + Math.min(i % 4, channels - 1)];
      }
      context.putImageData(image, 0, 0);
    };
    return { canvas, paint };
  }

  /** A slider with its value beside it; `words` says the value, also to a screen reader. */
  function slider(label, [min, max], step, change, words) {
    const input = make("input", { type: "range", min, max, step });
    const shown = make("span", { class: "explorer-value", "aria-hidden": "true" });
    const say = () => input.setAttribute("aria-valuetext", shown.textContent = words(Number(input.value)));
    input.addEventListener("input", () => (say(), change()));
    return {
      element: make("label", { class: "explorer-slider" }, make("span", {}, label), input, shown),
      get value() { return Number(input.value); },
      set value(value) { input.value = value; say(); },
      get text() { return `${label.toLowerCase()} ${shown.textContent}`; },
    };
  }

  const button = (label, onclick) => (
    Object.assign(make("button", { type: "button", class: "explorer-button" }, label), { onclick })
  );
  const signed = (value) => value.toFixed(2).replace("-", "−");

  // ---- Explorers ---------------------------------------------------------------------------------------------------
  // Each takes its data and a function to call after a change, and returns pictures, controls, and `draw`, which draws
  // the pictures anew and returns the live text.
  const LIMIT = 3, TILES = 20;  // of the plane, in standard deviations of the prior; tiles along each side

  function plane({ network }, change) {
    const [height, width] = network.shape, decode = (x, y) => run(network, [[x, y]]);
    const digit = picture(network.shape, "The digit that the decoder makes of this point");
    const tiles = make("canvas", { height: TILES * height, width: TILES * width });
    const handle = make("span", { class: "explorer-handle" });
    const label = "Map of the plane. Drag the ring, or move it with the arrow keys.";
    const map = make("div", { class: "explorer-map", tabindex: 0, role: "application", "aria-label": label }, tiles);
    const circles = [1, 2, 3].map((radius) => `<circle r="${radius - 0.015}"/>`).join("");
    map.insertAdjacentHTML("beforeend", `<svg viewBox="-3 -3 6 6" aria-hidden="true">${circles}</svg>`);
    map.append(handle);
    const axes = ["z₁", "z₂"].map((name) => slider(name, [-LIMIT, LIMIT], 0.05, change, signed));
    const move = (x, y) => (([axes[0].value, axes[1].value] = [x, y]), change());
    move(0.5, 0.5);
    const drag = ({ clientX, clientY }) => {
      const { left, top, width, height } = map.getBoundingClientRect();
      move(((2 * (clientX - left)) / width - 1) * LIMIT, (1 - (2 * (clientY - top)) / height) * LIMIT);
    };
    map.addEventListener("pointerdown", (event) => (map.setPointerCapture(event.pointerId), drag(event)));
    map.addEventListener("pointermove", (event) => map.hasPointerCapture(event.pointerId) && drag(event));
    map.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowDown: [0, -0.1], ArrowUp: [0, 0.1] }[event.key];
      if (step) move(axes[0].value + step[0], axes[1].value + step[1]);
      if (step) event.preventDefault();  // the page does not scroll
    });
    // One row of tiles between two frames, so that the page does not stand still.
    const tile = picture(network.shape, ""), paper = tiles.getContext("2d");
    const row = (number) => {
      const at = (index) => (LIMIT * (2 * index - TILES + 1)) / TILES;
      const codes = list(TILES, (column) => [at(column), at(TILES - 1 - number)]).flat();
      rowsOf(run(network, [codes], TILES), TILES).forEach((pixels, column) => {
        tile.paint(pixels);
        paper.drawImage(tile.canvas, column * width, number * height);
      });
      if (number + 1 < TILES) requestAnimationFrame(() => row(number + 1));
    };
    requestAnimationFrame(() => row(0));
    const draw = () => {
      const [x, y] = axes.map((axis) => axis.value);
      digit.paint(decode(x, y));
      handle.style.cssText = `left: ${50 * (1 + x / LIMIT)}%; top: ${50 * (1 - y / LIMIT)}%`;
      const away = `${Math.hypot(x, y).toFixed(1)} standard deviations from the center`;
      return `${axes.map((axis) => axis.text).join(", ")}: ${away}`;
    };
    return { pictures: [map, digit.canvas], controls: axes.map((axis) => axis.element), draw };
  }

  function faces({ network, codes, attributes }, change) {
    const face = picture(network.shape, "The face that the decoder makes of this code");
    let chosen = 0;
    const sliders = attributes.map(({ words: [label, ...words], limits: [low, high] }) => {
      const word = (value) => words[Math.round(((value - low) / (high - low)) * (words.length - 1))];
      return slider(label, [low, high], 0.01, change, (value) => `${signed(value)} ${word(value)}`);
    });
    const choose = (number) => {
      chosen = number % codes.length;
      sliders.forEach((one, k) => (one.value = attributes[k].values[chosen]));
      change();
    };
    choose(0);
    const draw = () => {
      const steps = attributes.map(({ values }, k) => sliders[k].value - values[chosen]);
      const moved = (i) => steps.reduce((sum, step, k) => sum + step * attributes[k].direction[i], 0);
      face.paint(run(network, [codes[chosen].map((value, i) => value + moved(i))]));
      return `Face ${chosen + 1} of ${codes.length}: ${sliders.map((one) => one.text).join(", ")}`;
    };
    const controls = [...sliders.map((one) => one.element), button("Another face", () => choose(chosen + 1))];
    return { pictures: [face.canvas], controls, draw };
  }

  function classes({ network, latentDim }, change) {
    const count = network.nodes.find((node) => node.kind === "one_hot").count;
    const large = picture(network.shape, "The digit that you have chosen");
    const row = list(count, (digit) => picture(network.shape, `A ${digit} in this style`));
    const choices = row.map((one, digit) => {
      const radio = make("input", { type: "radio", name: "explorer-digit", value: digit, "aria-label": digit });
      radio.checked = digit === 3;
      radio.addEventListener("change", change);
      return make("label", {}, radio, one.canvas, make("span", { "aria-hidden": "true" }, digit));
    });
    const digits = make("fieldset", { class: "explorer-row" }, make("legend", {}, "Choose a digit"), ...choices);
    const angle = slider("Turn the style", [-180, 180], 1, change, (value) => `${value}°`.replace("-", "−"));
    const draws = normals(), fresh = () => draws(latentDim);
    let style = 0, start, end;
    const another = () => (([style, start, end, angle.value] = [style + 1, fresh(), fresh(), 0]), change());
    another();
    const draw = () => {
      const turned = (angle.value * Math.PI) / 180, chosen = digits.querySelector(":checked").value;
      const z = start.map((value, i) => Math.cos(turned) * value + Math.sin(turned) * end[i]);
      const images = rowsOf(run(network, [row.flatMap(() => z), list(count, (digit) => digit)], count), count);
      row.forEach((one, digit) => one.paint(images[digit]));
      large.paint(images[chosen]);
      return `Digit ${chosen}, style ${style}, turned by ${angle.value}°`.replace("-", "−");
    };
    return { pictures: [large.canvas, digits], controls: [angle.element, button("Another style", another)], draw };
  }

  const STEPS = 5;  // of Heun's method; chapter 12 says that more do not make the digits better

  /** The codes on the way from noise to a digit, that is `transport` of utils/flow.py with all that is between. */
  function path({ network }, noise, label, guidance) {
    const none = network.nodes.find((node) => node.kind === "one_hot").count - 1, codes = [noise];
    const moved = (code, v) => code.map((value, i) => value + v[i] / STEPS);
    const velocity = (code, step) => {
      const t = step / STEPS, [told, free] = rowsOf(run(network, [[...code, ...code], [t, t], [label, none]], 2), 2);
      return told.map((v, i) => v + guidance * (v - free[i]));
    };
    for (let step = 0; step < STEPS; step++) {
      const v = velocity(codes[step], step), end = velocity(moved(codes[step], v), step + 1);
      codes.push(moved(codes[step], v.map((value, i) => (value + end[i]) / 2)));
    }
    return codes;
  }

  function flow(data, change) {
    const decoder = found.flow_decoder.network, draws = normals();
    const digit = picture(decoder.shape, "What the decoder makes of the code after this step");
    let noise, codes, timer, number = 0;
    const anew = () => ((codes = null), change()), stop = () => (clearTimeout(timer), change());
    const label = slider("Digit", [0, 9], 1, anew, String), guidance = slider("Guidance", [0, 4], 0.05, anew, signed);
    const step = slider("Step", [0, STEPS], 1, stop, (value) => `${value} of ${STEPS}`);
    const play = () => {
      stop();
      step.value = (step.value + 1) % (STEPS + 1);  // from the end to the noise
      if (step.value < STEPS) timer = setTimeout(play, 400);
    };
    const another = () => ((noise = draws(data.latentDim)), number++, anew());
    [label.value, guidance.value, step.value] = [3, 0.25, STEPS];
    another();
    const draw = () => {
      codes ??= path(data, noise, label.value, guidance.value);
      digit.paint(run(decoder, [codes[step.value]]));
      return `${[label, step, guidance].map((one) => one.text).join(", ")}, noise ${number}`.replace("d", "D");
    };
    const buttons = [button("Play", play), button("Other noise", another)];
    return { pictures: [digit.canvas], controls: [label.element, guidance.element, step.element, ...buttons], draw };
  }

  const BUILD = { plane, faces, classes, flow }, FILES = { flow: ["flow", "flow_decoder"] };

  // ---- On the page -------------------------------------------------------------------------------------------------
  const found = {};  // name -> data

  function add(name, data) {
    data.network.kernels = halves(bytesOf(data.network.kernels));
    data.network.units = new Float32Array(bytesOf(data.network.units).buffer);
    found[name] = data;
  }

  /** Put an explorer, whose data are loaded, into an element; the function that draws it anew. */
  function show(root, name) {
    const live = make("output", { class: "explorer-text", "aria-live": "polite" });
    let waiting = true;
    const frame = () => ((waiting = false), (live.textContent = draw()));
    // Several moves between two frames of the screen are one.
    const change = () => waiting || ((waiting = true), requestAnimationFrame(frame));
    const { pictures, controls, draw } = BUILD[name](found[name], change);
    const part = (kind, ...children) => make("div", { class: `explorer-${kind}` }, ...children);
    root.replaceChildren(part("pictures", ...pictures), part("controls", ...controls, live));
    frame();
    return frame;
  }

  async function load(root, folder) {
    const name = root.dataset.explorer;
    root.setAttribute("aria-busy", "true");
    const loaded = (FILES[name] || [name]).map((file) => new Promise((done, failed) => {
      const script = make("script", { src: `${folder}explorers/${file}.js` });
      document.head.append(Object.assign(script, { onload: done, onerror: failed }));
    }));
    const failed = () => root.append("This explorer could not be loaded: reload the page.");
    await Promise.all(loaded).then(() => show(root, name), failed);
    root.removeAttribute("aria-busy");
  }

  if (typeof document !== "undefined") {
    const folder = document.currentScript.src.replace(/[^/]*$/, "");
    const observer = new IntersectionObserver((entries) => {
      const seen = entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target);
      seen.forEach((root) => (observer.unobserve(root), load(root, folder)));
    }, { rootMargin: "300px" });
    document.querySelectorAll("[data-explorer]").forEach((root) => observer.observe(root));
  }

  const runOf = (name, inputs, batch) => run(found[name].network, inputs, batch);
  return { add, show, run: runOf, path: (...of) => path(found.flow, ...of) };
})();
