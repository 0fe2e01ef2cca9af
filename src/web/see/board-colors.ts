/** Colours of the board: those of the style sheet, so that they follow light and dark. */

export interface BoardColors {
  readonly text: string;
  readonly faint: string;
  readonly paper: string;
  readonly grid: string;
  readonly day: string;
  readonly session: string;
  readonly track: string;
  readonly active: string;
  readonly font: string;
  readonly marks: readonly string[];
  /** Red, green and blue of each lane, in turn. */
  readonly lanes: readonly (readonly [number, number, number])[];
  readonly bad: readonly [number, number, number];
  /** A pattern of slanting lines. */
  hatch(context: CanvasRenderingContext2D): CanvasPattern | string;
}

const LANE_COLORS = 6;
const MARK_COLORS = 4;
const HATCH_PIXELS = 8;

let known: { readonly key: string; readonly colors: BoardColors } | null = null;

/** @param element of the board */
export function boardColors(element: Element): BoardColors {
  const style = getComputedStyle(element);
  const read = (name: string): string => style.getPropertyValue(`--see-${name}`).trim();
  const key = `${read('text')} ${read('paper')} ${read('lane-1')} ${style.fontFamily}`;
  if (known?.key === key) return known.colors;
  const hatchColor = read('hatch');
  let pattern: CanvasPattern | null = null;
  const colors: BoardColors = {
    text: read('text'),
    faint: read('faint'),
    paper: read('paper'),
    grid: read('grid'),
    day: read('day'),
    session: read('session'),
    track: read('track'),
    active: read('active'),
    font: style.fontFamily,
    marks: Array.from({ length: MARK_COLORS }, (_, i) => read(`mark-${i + 1}`)),
    lanes: Array.from({ length: LANE_COLORS }, (_, i) => rgbOf(read(`lane-${i + 1}`))),
    bad: rgbOf(read('bad')),
    hatch: (context) => (pattern ??= hatched(context, hatchColor)) ?? hatchColor,
  };
  known = { key, colors };
  return colors;
}

/** `#rrggbb` as numbers. */
function rgbOf(hex: string): [number, number, number] {
  const value = Number.parseInt(hex.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

function hatched(context: CanvasRenderingContext2D, color: string): CanvasPattern | null {
  const tile = document.createElement('canvas');
  tile.width = HATCH_PIXELS;
  tile.height = HATCH_PIXELS;
  const pen = tile.getContext('2d');
  if (!pen) return null;
  pen.strokeStyle = color;
  pen.lineWidth = 1;
  for (const shift of [-HATCH_PIXELS, 0, HATCH_PIXELS]) {
    pen.moveTo(shift, HATCH_PIXELS);
    pen.lineTo(shift + HATCH_PIXELS, 0);
  }
  pen.stroke();
  return context.createPattern(tile, 'repeat');
}
