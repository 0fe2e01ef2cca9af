/** Bands of lanes as pixels: one pass over the columns of each lane, whatever it is that they show. Pure. */
import type { ColumnBand } from './pixel-columns.ts';

/** Pixels of a canvas, row by row; each is one number of four bytes, as the canvas has them. */
export interface PixelField {
  readonly pixels: Uint32Array;
  readonly width: number;
  readonly height: number;
}

export interface BandPaint {
  /** Height of a value: slope × value + intercept. */
  readonly slope: number;
  readonly intercept: number;
  /** Nothing is painted above and below these rows of pixels. */
  readonly top: number;
  readonly bottom: number;
  readonly color: number;
}

/** A colour as a canvas keeps it in memory of a little-endian machine. */
export function pixelColor(red: number, green: number, blue: number, alpha = 255): number {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/**
 * Paints each column from its lowest to its highest value, one pixel at least, so that each extreme is seen. What is
 * beyond the lane is painted at its edge. A column that goes on from the one before reaches to it.
 */
export function paintBand(
  { pixels, width, height }: PixelField,
  { lows, highs, joins }: ColumnBand,
  paint: BandPaint,
): void {
  const { slope, intercept, color } = paint;
  const [least, most] = [Math.max(0, Math.floor(paint.top)), Math.min(height, Math.ceil(paint.bottom)) - 1];
  let before = -1;
  let [beforeTop, beforeBottom] = [0, 0];
  for (let c = 0; c < lows.length && c < width; c++) {
    if (Number.isNaN(lows[c])) continue;
    const ends = [slope * highs[c] + intercept, slope * lows[c] + intercept];
    const own = {
      top: row(Math.min(ends[0], ends[1]), least, most),
      bottom: row(Math.max(ends[0], ends[1]), least, most),
    };
    let { top, bottom } = own;
    if (joins[c] === 1 && before >= 0) {
      if (before === c - 1) {
        if (top > beforeBottom) top = beforeBottom;
        else if (bottom < beforeTop) bottom = beforeTop;
      } else paintSlant(before, beforeTop, beforeBottom, c, top, bottom);
    }
    for (let y = top, at = top * width + c; y <= bottom; y++, at += width) pixels[at] = color;
    before = c;
    beforeTop = own.top;
    beforeBottom = own.bottom;
  }

  /** Fills the columns between two that are further apart, up to the second one. */
  function paintSlant(
    from: number,
    fromTop: number,
    fromBottom: number,
    to: number,
    toTop: number,
    toBottom: number,
  ): void {
    const [start, end] = [(fromTop + fromBottom) / 2, (toTop + toBottom) / 2];
    let last = Math.round(start);
    for (let c = from + 1; c <= to; c++) {
      const y = Math.round(start + ((end - start) * (c - from)) / (to - from));
      for (let at = Math.min(y, last); at <= Math.max(y, last); at++) pixels[at * width + c] = color;
      last = y;
    }
  }
}

function row(y: number, least: number, most: number): number {
  const whole = Math.round(y);
  return whole < least ? least : whole > most ? most : whole;
}
