"use strict";
/* Uploads in parts that go on after a broken connection (tus 1.0), the progress of a run, and the
   choice of a person. */
const element = (id) => document.getElementById(id);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const uploader = element("uploader");
const secret = () => document.querySelector("[name=csrfmiddlewaretoken]").value;
const headers = (more) => ({ "Tus-Resumable": "1.0.0", "X-CSRFToken": secret(), ...more });
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/* A file of the same name, size and date is the same: its upload goes on where it ended. */
const memory = (file) => `upload ${uploader.dataset.address} ${file.name} ${file.size} ${file.lastModified}`;

async function create(file, kind) {
  const pairs = [`filename ${base64(file.name)}`, `kind ${base64(kind)}`].join(",");
  const answer = await fetch(uploader.dataset.address, {
    method: "POST", headers: headers({ "Upload-Length": String(file.size), "Upload-Metadata": pairs }),
  });
  if (answer.status !== 201) throw new Error(await answer.text());
  const address = answer.headers.get("Location");
  localStorage.setItem(memory(file), address);
  return address;
}

async function offsetOf(address) {
  const answer = await fetch(address, { method: "HEAD", headers: headers() });
  return answer.ok ? Number(answer.headers.get("Upload-Offset")) : null;
}

async function send(file, kind, tell) {
  let address = localStorage.getItem(memory(file)), offset = address ? await offsetOf(address) : null;
  if (offset === null) { address = await create(file, kind); offset = 0; }
  const part = Number(uploader.dataset.part);
  // Once also for a file that is whole: it may not have been looked at.
  for (let failures = 0, whole = false; !whole;) {
    tell(offset / file.size);
    try {
      const answer = await fetch(address, {
        method: "PATCH", body: file.slice(offset, offset + part),
        headers: headers({ "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" }),
      });
      if (answer.status === 204) {
        offset = Number(answer.headers.get("Upload-Offset"));
        whole = offset === file.size;
        failures = 0;
        continue;
      }
      const text = await answer.text();
      const again = (answer.status === 409 && answer.headers.has("Upload-Offset")) || [500, 502, 503, 504].includes(answer.status);
      if (!again || ++failures > 12) throw Object.assign(new Error(text || "The server does not take it."), { final: true });
    } catch (error) {
      if (error.final || ++failures > 12) throw error;
    }
    await wait(Math.min(500 * 2 ** failures, 10000));
    offset = (await offsetOf(address).catch(() => null)) ?? offset;
  }
  tell(1);
  localStorage.removeItem(memory(file));
}

if (uploader) {
  for (const input of uploader.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", async () => {
      const bar = element("sent"), words = element("sending");
      bar.hidden = false;
      try {
        for (const file of input.files) {
          await send(file, input.dataset.kind, (share) => {
            bar.value = share;
            words.textContent = share < 1 ? `${file.name}: ${Math.round(100 * share)} %` : `${file.name}: looked at`;
          });
        }
        location.reload();
      } catch (error) {
        bar.hidden = true;
        words.textContent = error.message || "The connection is broken. Next: choose the same file again; what was sent stays.";
      }
    });
    input.disabled = false; // a file chosen before somebody listens would never be sent
  }
}
for (const button of document.querySelectorAll("[data-upload] .remove")) {
  button.addEventListener("click", async () => {
    await fetch(`/uploads/${button.parentElement.dataset.upload}`, { method: "DELETE", headers: headers() });
    location.reload();
  });
}

const progress = element("progress");
if (progress) {
  const source = new EventSource(progress.dataset.events);
  source.addEventListener("message", ({ data }) => {
    const job = JSON.parse(data), bar = element("bar");
    if (!["queued", "running"].includes(job.state)) { source.close(); location.reload(); return; }
    element("stage").textContent = job.cancel ? "Being stopped." : job.state === "queued" ? "Waiting for its turn." : `${job.stage || "beginning"}${job.tries > 1 ? ` (try ${job.tries})` : ""}`;
    if (job.total) { bar.max = job.total; bar.value = job.done; } else bar.removeAttribute("value");
    const spent = job.since ? Date.now() / 1000 - job.since : 0, share = job.total ? job.done / job.total : 0;
    element("left").textContent = share > 0.03 && share < 1 ? `${job.done} of ${job.total}; about ${Math.ceil((spent * (1 - share)) / share)} s left in this stage` : "";
  });
}

const first = element("first"), cameras = element("camera");
if (cameras) {
  const choose = () => {
    const [{ dataset, text }] = cameras.selectedOptions;
    Object.assign(first, { src: dataset.picture, alt: `The first picture of ${text}` });
    first.dataset.width = dataset.width;
    element("mark").hidden = true;
  };
  cameras.addEventListener("change", choose);
  choose(); // a browser may remember the choice of the page before
}
if (first) {
  first.addEventListener("click", (event) => {
    const box = first.getBoundingClientRect(), scale = Number(first.dataset.width) / box.width;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const camera = cameras ? cameras.value.replace(/\.[^.]*$/, "") : "";
    element("id_person_at").value = `${camera ? `${camera}:` : ""}${Math.round(x * scale)},${Math.round(y * scale)}`;
    const mark = element("mark");
    mark.hidden = false;
    mark.style.left = `${x}px`;
    mark.style.top = `${y}px`;
    element("id_person_at").closest("details").open = true;
  });
}
