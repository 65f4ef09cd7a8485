// Requests as dots on their way through the tiles of a data plane. What to draw comes as data (figures/scene.py):
// names are drawn as text and never become HTML. State lives on the element, because Streamlit calls this again
// whenever the data change.

const SPEED = 130; // pixels a second
const STEP = 0.2; // seconds of one step while paused
const SLOW = 0.2; // of the speed, in slow motion
const MOST = 900; // dots at a time

export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".traffic");
  const state = (root.state ??= begin(root));
  state.data = data;
  state.place();
  return () => {
    cancelAnimationFrame(state.frame);
    state.resized.disconnect();
    state.watched.disconnect();
    delete root.state;
    root.replaceChildren();
  };
}

function begin(root) {
  const bar = document.createElement("div");
  bar.className = "bar";
  const pause = document.createElement("button");
  const step = document.createElement("button");
  const said = document.createElement("span");
  const legend = document.createElement("span");
  const canvas = document.createElement("canvas");
  const slow = document.createElement("button");
  pause.type = step.type = slow.type = "button";
  step.textContent = "Step";
  slow.textContent = "Slow";
  canvas.setAttribute("role", "img");
  bar.append(pause, step, slow, said, legend);
  root.append(bar, canvas);
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const state = { dots: [], due: 0, paused: still, slow: false, seen: true, frame: 0, then: 0, passed: 0 };

  const show = () => {
    pause.textContent = state.paused ? "Play" : "Pause";
    step.disabled = !state.paused;
    slow.setAttribute("aria-pressed", state.slow);
    root.dataset.paused = state.paused;
    root.dataset.dots = state.dots.length;
    root.dataset.answered = state.passed;
  };
  const tick = (now) => {
    const seconds = Math.min((now - state.then) / 1000, 0.1);
    state.then = now;
    if (!state.paused && state.seen && !document.hidden) {
      move(state, state.slow ? seconds * SLOW : seconds);
      draw(state, canvas, root);
      show();
    }
    state.frame = requestAnimationFrame(tick);
  };
  pause.onclick = () => {
    state.paused = !state.paused;
    show();
  };
  slow.onclick = () => {
    state.slow = !state.slow;
    show();
  };
  step.onclick = () => {
    // A step begins where there is something to see: a request at least.
    if (!state.dots.length) state.due = 1;
    move(state, STEP);
    draw(state, canvas, root);
    show();
  };
  state.place = () => {
    canvas.setAttribute("aria-label", state.data.alt);
    const many = state.data.requests_a_dot;
    said.textContent = `${state.data.rps.toLocaleString("en")} requests a second · one dot is ${many.toLocaleString(
      "en"
    )} of them · ● request ○ answer`;
    explain(legend, state.data);
    layOut(state, canvas, root);
    if (!state.dots.length) {
      for (let n = 0; n < 40; n++) move(state, 0.1); // so that a paused picture shows requests under way
    }
    draw(state, canvas, root);
    show();
  };
  state.resized = new ResizeObserver(() => state.data && state.place());
  state.resized.observe(root);
  // Out of sight nothing moves.
  state.watched = new IntersectionObserver((entries) => (state.seen = entries.at(-1).isIntersecting));
  state.watched.observe(canvas);
  state.frame = requestAnimationFrame(tick);
  return state;
}

// What the colours of the tiles mean.
function explain(legend, data) {
  legend.replaceChildren(
    ...["application", "proxy", "kernel"]
      .filter((kind) => data.tiles.some((tile) => tile.kind === kind))
      .map((kind) => {
        const one = document.createElement("span");
        const mark = document.createElement("i");
        mark.style.background = data.colours[kind];
        one.append(mark, kind);
        return one;
      })
  );
}

// On a narrow screen the layers go down instead of to the right.
function layOut(state, canvas, root) {
  const width = Math.max(root.clientWidth, 200);
  const height = state.data.height;
  const scale = window.devicePixelRatio || 1;
  const narrow = width < 520;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  const shrink = narrow ? 0.62 : 1;
  const at = (x, y, dx, dy) => {
    const turned = narrow && !(y === 0.06 || y === 0.93);
    const [across, down] = turned ? [y, 0.1 + 0.78 * x] : [x, y];
    return [20 + across * (width - 50) + dx * shrink, 8 + down * (height - 24) + dy * shrink];
  };
  Object.assign(state, { width, height, narrow, shrink, context });
  state.tiles = state.data.tiles.map((tile) => ({ ...tile, at: at(tile.x, tile.y, tile.dx, tile.dy) }));
  state.ways = state.data.links.map((link) => {
    const points = link.way.map((point) => at(...point));
    const lengths = points.slice(1).map((p, n) => Math.hypot(p[0] - points[n][0], p[1] - points[n][1]));
    return { points, lengths, whole: lengths.reduce((sum, one) => sum + one, 0) };
  });
}

// Arrivals at random, as in a Poisson process; then every dot a little further.
function move(state, seconds) {
  const { entries, endpoints, rps, requests_a_dot } = state.data;
  state.due += (seconds * rps) / requests_a_dot;
  while (state.due > 0) {
    if (state.dots.length < MOST) call(state, pick(entries), null);
    state.due += Math.log(1 - Math.random());
  }
  for (const dot of [...state.dots]) {
    dot.gone += SPEED * seconds;
    if (dot.gone < dot.way.whole) continue;
    if (!dot.back) visit(state, { groups: endpoints[dot.to], next: 0, open: 0, dot });
    else {
      state.dots.splice(state.dots.indexOf(dot), 1);
      if (dot.parent) answered(state, dot.parent);
      else state.passed += 1;
    }
  }
}

function call(state, made, parent) {
  if (made.link < 0 || state.dots.length >= MOST) return false;
  state.dots.push({ way: state.ways[made.link], link: made.link, gone: 0, to: made.to, back: false, parent });
  return true;
}

// An endpoint makes its calls group by group; the dot waits at it, and goes back when all are answered.
function visit(state, work) {
  work.dot.gone = -Infinity;
  answered(state, Object.assign(work, { open: 1 }));
}

function answered(state, work) {
  work.open -= 1;
  while (work.open <= 0 && work.next < work.groups.length) {
    work.open = 0;
    for (const made of work.groups[work.next++]) {
      if (Math.random() < made.probability && call(state, made, work)) work.open += 1;
    }
  }
  if (work.open > 0) return;
  work.dot.back = true;
  work.dot.gone = 0;
}

function pick(entries) {
  let at = Math.random() * entries.reduce((sum, entry) => sum + entry.weight, 0);
  return entries.find((entry) => (at -= entry.weight) < 0) ?? entries[0];
}

function draw(state, canvas, root) {
  const { context, width, height, shrink } = state;
  const style = getComputedStyle(root);
  const ink = style.color;
  const colours = state.data.colours;
  context.clearRect(0, 0, width, height);
  context.lineWidth = 1;
  context.strokeStyle = "rgba(128,128,128,0.35)";
  for (const way of state.ways) {
    context.beginPath();
    way.points.forEach((point, n) => (n ? context.lineTo(...point) : context.moveTo(...point)));
    context.stroke();
  }
  context.textAlign = "center";
  context.textBaseline = "bottom";
  context.font = `${state.narrow ? 9 : 11}px ${style.fontFamily}`;
  for (const tile of state.tiles) {
    const [x, y] = tile.at;
    const w = tile.w * shrink;
    const h = tile.h * shrink;
    context.fillStyle = colours[tile.kind] ?? "rgba(128,128,128,0.5)";
    if (tile.many) context.fillRect(x - w / 2 + 3, y - h / 2 - 3, w, h);
    context.fillRect(x - w / 2, y - h / 2, w, h);
    if (!tile.label) continue;
    context.fillStyle = ink;
    context.fillText(cut(context, tile.label, room(state, tile)), Math.max(x, 24), y - h / 2 - 2);
  }
  const reach = 3.2;
  for (const dot of state.dots) {
    if (dot.gone < 0) continue;
    const [x, y] = along(dot);
    context.beginPath();
    context.arc(x, y, reach, 0, 2 * Math.PI);
    context.fillStyle = context.strokeStyle = ink;
    context.lineWidth = 1.4;
    if (dot.back) context.stroke();
    else context.fill();
  }
}

// Pixels that a label has until it meets that of its neighbour.
function room(state, tile) {
  const row = state.tiles.filter((other) => other.label && Math.abs(other.at[1] - tile.at[1]) < 12 && other !== tile);
  const near = Math.min(...row.map((other) => Math.abs(other.at[0] - tile.at[0])), state.width);
  return Math.max(near - 6, 22);
}

function cut(context, text, most) {
  if (context.measureText(text).width <= most) return text;
  let short = text;
  while (short.length > 1 && context.measureText(`${short}…`).width > most) short = short.slice(0, -1);
  return `${short}…`;
}

function along(dot) {
  const { points, lengths, whole } = dot.way;
  let left = Math.min(dot.back ? whole - dot.gone : dot.gone, whole);
  let n = 0;
  while (n < lengths.length - 1 && left > lengths[n]) left -= lengths[n++];
  const share = lengths[n] ? Math.max(left, 0) / lengths[n] : 0;
  const [from, to] = [points[n], points[n + 1]];
  return [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
}
