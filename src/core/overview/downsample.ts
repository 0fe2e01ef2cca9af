/**
 * Fewer points of a line that look like it: largest triangle, three buckets.
 * @see Steinarsson, Downsampling Time Series for Visual Representation, 2013, section 4.2
 */

/**
 * Chooses points of a line.
 * @param xs in order
 * @param most points to keep, at least 2
 * @returns positions of the points that are kept, in order; first and last among them
 */
export function largestTriangles(xs: Float64Array, ys: Float64Array, most: number): number[] {
  const count = xs.length;
  if (count <= most) return Array.from(xs.keys());
  if (most <= 2) return [0, count - 1];
  const kept = [0];
  const width = (count - 2) / (most - 2);
  const begin = (bucket: number): number => Math.floor(bucket * width) + 1;
  let last = 0;
  for (let bucket = 0; bucket < most - 2; bucket++) {
    const [from, to] = [begin(bucket), begin(bucket + 1)];
    const next = meanPoint(xs, ys, to, bucket === most - 3 ? count : begin(bucket + 2));
    let best = from;
    let bestArea = -1;
    for (let i = from; i < to; i++) {
      const area = Math.abs((xs[last] - next.x) * (ys[i] - ys[last]) - (xs[last] - xs[i]) * (next.y - ys[last]));
      if (area > bestArea) [best, bestArea] = [i, area];
    }
    kept.push(best);
    last = best;
  }
  kept.push(count - 1);
  return kept;
}

function meanPoint(xs: Float64Array, ys: Float64Array, from: number, to: number): { x: number; y: number } {
  let [x, y] = [0, 0];
  for (let i = from; i < to; i++) {
    x += xs[i];
    y += ys[i];
  }
  return { x: x / (to - from), y: y / (to - from) };
}
