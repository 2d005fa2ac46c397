"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const stills = [...document.querySelectorAll("img.still")];
const slider = document.getElementById("frame"), button = document.getElementById("play");
const LOOKS = {
  truth: { color: "#8a8f98", dash: [] },
  before: { color: "#d55e00", dash: [6, 5] },
  after: { color: "#0072b2", dash: [] },
};
let turn = 0.5, tilt = 0.15, timer = 0;

// Green for no change, over yellow, to red at 15 degrees; grey for what is not known.
const colorOf = (moved) =>
  moved === null ? "#8a8f98" : `hsl(${120 * (1 - Math.min(moved, 15) / 15)} 80% 42%)`;

function draw(context, points, look, moved) {
  context.strokeStyle = look.color;
  context.lineWidth = 3;
  context.setLineDash(look.dash);
  for (const [a, b] of data.bones) {
    if (points[a].includes(null) || points[b].includes(null)) continue;
    context.beginPath();
    context.moveTo(...points[a]);
    context.lineTo(...points[b]);
    context.stroke();
  }
  points.forEach((point, i) => {
    if (!moved || point.includes(null)) return;
    context.fillStyle = colorOf(moved[i]);
    context.beginPath();
    context.arc(...point, 5, 0, 7);
    context.fill();
  });
}

// The first skeleton's hips stay in the middle; 2.4 metres fill the canvas.
function inSpace(points, centre, size) {
  const [s, c] = [Math.sin(turn), Math.cos(turn)], [v, w] = [Math.sin(tilt), Math.cos(tilt)];
  return points.map((point) => {
    if (point.includes(null)) return [null, null];
    const [x, y, z] = point.map((value, i) => value - centre[i]);
    const across = c * x - s * z, deep = s * x + c * z;
    return [size / 2 + across * size / 2.4, size / 2 - (w * y - v * deep) * size / 2.4];
  });
}

function show() {
  const f = Number(slider.value);
  document.getElementById("when").textContent = `${data.time[f].toFixed(2)} s`;
  const space = document.getElementById("space"), room = space.getContext("2d");
  room.clearRect(0, 0, space.width, space.height);
  const centre = data.skeletons.before[f][0].map((value) => value ?? 0);
  for (const name of Object.keys(LOOKS)) {
    if (!(name in data.skeletons)) continue;
    const points = inSpace(data.skeletons[name][f], centre, space.width);
    draw(room, points, LOOKS[name], name === "after" ? data.moved[f] : null);
  }
  const film = document.getElementById("film");
  if (!film) return;
  const still = stills[f], scale = film.width / still.naturalWidth;
  film.height = still.naturalHeight * scale;
  const picture = film.getContext("2d");
  picture.drawImage(still, 0, 0, film.width, film.height);
  for (const name of Object.keys(LOOKS)) {
    if (!(name in data.inImage)) continue;
    const points = data.inImage[name][f].map((p) => p.map((v) => (v === null ? null : v * scale)));
    draw(picture, points, LOOKS[name], name === "after" ? data.moved[f] : null);
  }
}

function play() {
  const step = () => {
    const next = (Number(slider.value) + 1) % data.time.length;
    const wait = Math.max(data.time[next] - data.time[slider.value], 0.04);
    slider.value = next;
    show();
    timer = setTimeout(step, 1000 * wait);
  };
  if (timer) { clearTimeout(timer); timer = 0; } else step();
  button.textContent = timer ? "Pause" : "Play";
}

const space = document.getElementById("space");
space.addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  turn += event.movementX / 100;
  tilt += event.movementY / 100;
  show();
});
space.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
  if (!by) return;
  event.preventDefault();
  turn += by[0];
  tilt += by[1];
  show();
});
slider.addEventListener("input", show);
button.addEventListener("click", play);
addEventListener("load", show);
