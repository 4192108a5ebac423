// Heat maps of patch weights, drawn over a picture.

// Colours of matplotlib's inferno at equal steps, as in the pages of fedmpt predict --explain.
const COLOURS = [
  [0, 0, 4],
  [40, 11, 84],
  [101, 21, 110],
  [159, 42, 99],
  [212, 72, 66],
  [245, 125, 21],
  [250, 193, 39],
  [252, 255, 164],
];
const LEAST = 0.25; // opacity at weight 0
const MOST = 0.75; // opacity at the largest weight

// The weights of a label: bytes, by rows.
function weights({ rows, columns, weights: text }, label) {
  const size = rows * columns;
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).subarray(label * size, (label + 1) * size);
}

function colour(strength) {
  const at = strength * (COLOURS.length - 1);
  const low = Math.min(Math.floor(at), COLOURS.length - 2);
  return COLOURS[low].map((value, i) => value + (at - low) * (COLOURS[low + 1][i] - value));
}

// Draw a label's heat map: one pixel per patch, which the style sheet enlarges with interpolation.
export function drawHeat(canvas, places, label) {
  canvas.width = places.columns;
  canvas.height = places.rows;
  const image = new ImageData(places.columns, places.rows);
  weights(places, label).forEach((byte, i) => {
    const strength = byte / 255;
    image.data.set([...colour(strength), 255 * (LEAST + (MOST - LEAST) * strength)], 4 * i);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}
