// From what a person chooses to a file that a job learns from.
import { make } from "./dom.js";

const LARGEST = 256; // pixels of the longer side: more than the models see

// Photographs by class as rows of JSON: { image: base64, label }.
export async function photoRows(classes, told) {
  const rows = [];
  const count = classes.reduce((sum, { files }) => sum + files.length, 0);
  for (const { label, files } of classes) {
    for (const file of files) {
      rows.push(JSON.stringify({ image: await small(file), label }));
      told(rows.length, count);
    }
  }
  return new File([`${rows.join("\n")}\n`], "photos.jsonl", { type: "application/jsonl" });
}

async function small(file) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is not an image that this browser can read`);
  }
  const scale = Math.min(1, LARGEST / Math.max(picture.width, picture.height));
  const canvas = make("canvas", { width: Math.max(1, Math.round(picture.width * scale)), height: Math.max(1, Math.round(picture.height * scale)) });
  const brush = canvas.getContext("2d");
  brush.fillStyle = "white"; // where it is transparent, as on the server
  brush.fillRect(0, 0, canvas.width, canvas.height);
  brush.imageSmoothingQuality = "high";
  brush.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92).split(",")[1];
}

const LONGEST = 15; // characters: a beginning that the smallest model has room for

// The words that a text begins with, for samples to begin with.
export async function beginning(file) {
  const head = await file.slice(0, 4000).text();
  let text = head;
  if (file.name.endsWith(".jsonl")) {
    try {
      const row = JSON.parse(head.split("\n")[0]);
      text = row.prompt || row.text || "";
    } catch {
      text = "";
    }
  }
  const words = text.trim().split(/\s+/);
  let found = words[0];
  for (const word of words.slice(1)) {
    if (`${found} ${word}`.length > LONGEST) break;
    found += ` ${word}`;
  }
  return found.slice(0, LONGEST);
}
