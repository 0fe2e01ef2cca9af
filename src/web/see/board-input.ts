/** What pointer, wheel and keys do on the board. */
import type { LaneBoard } from './lane-board.ts';
import type { LaneMark } from './mark-set.ts';
import { LANE_HEIGHTS } from './see-state.ts';
import type { SeeModel } from './see-model.ts';
import {
  boundedView,
  centredOn,
  movedBy,
  panBy,
  partOfTime,
  timeAtPart,
  zoomAbout,
  type ViewWindow,
} from './view-window.ts';

/** A wheel that is turned by a notch makes the view so many times longer. */
const WHEEL_ZOOM = 1.0018;
const KEY_ZOOM = 0.6;
const KEY_PAN = 0.1;
const KEY_JUMP = 0.9;
const KEY_GAIN = 1.25;
/** A drag that moves less is a click. */
const CLICK_PIXELS = 3;
/** The label of a mark until somebody says another one. */
const NEW_LABEL = 'mark';

/** Panels that keys open. */
export type PanelName = 'keys' | 'export' | 'spectrum' | 'table';

export interface BoardActions {
  open(panel: PanelName): void;
  /** Puts the caret where the label of the chosen mark is written. */
  editLabel(): void;
}

type Drag =
  | { readonly kind: 'pan'; readonly x: number; readonly view: ViewWindow; readonly y: number; readonly scroll: number }
  | { readonly kind: 'select'; readonly from: bigint; readonly lane: number | null; readonly doesMark: boolean }
  | { readonly kind: 'edge'; readonly key: string; readonly edge: 'start' | 'end' }
  | { readonly kind: 'mark'; readonly mark: LaneMark; readonly from: bigint };

/** Listens to a board. @returns ends it */
export function listenToBoard(
  element: HTMLElement,
  board: LaneBoard,
  model: SeeModel,
  actions: BoardActions,
): () => void {
  let drag: Drag | null = null;
  let [downX, downY] = [0, 0];
  const stop = new AbortController();
  const on = <K extends keyof HTMLElementEventMap>(
    name: K,
    heard: (event: HTMLElementEventMap[K]) => void,
    passive = true,
  ): void => element.addEventListener(name, heard, { signal: stop.signal, passive });
  const at = (event: MouseEvent): { x: number; y: number } => {
    const { left, top } = element.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };

  on(
    'wheel',
    (event) => {
      event.preventDefault();
      const { x, y } = at(event);
      const view = model.view.peek();
      const lane = model.shownLanes.peek()[board.placeAt(x, y).lane ?? -1];
      if (event.altKey && lane) model.amplify(lane.name, WHEEL_ZOOM ** -event.deltaY);
      else if (event.ctrlKey && event.shiftKey) setLaneHeight(model, board, WHEEL_ZOOM ** -event.deltaY);
      else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        model.show(board.panned(view, -(event.deltaX || event.deltaY)));
      } else model.show(zoomAbout(view, Math.min(1, Math.max(0, board.partAt(x))), WHEEL_ZOOM ** event.deltaY));
    },
    false,
  );

  on('pointerdown', (event) => {
    if (event.button !== 0) return;
    const { x, y } = at(event);
    [downX, downY] = [x, y];
    element.setPointerCapture(event.pointerId);
    const place = board.placeAt(x, y);
    if (place.lane !== null) model.active.value = place.lane;
    const held = board.markAt(x, y);
    if (held) {
      model.selectedMark.value = held.mark.key;
      drag = held.edge
        ? { kind: 'edge', key: held.mark.key, edge: held.edge }
        : { kind: 'mark', mark: held.mark, from: place.ns };
    } else if (place.isInTracks || model.tool.peek() === 'mark' || event.shiftKey) {
      if (place.layer !== null && place.isInTracks) model.layer.value = place.layer;
      drag = {
        kind: 'select',
        from: place.ns,
        lane: place.lane,
        doesMark: place.isInTracks || model.tool.peek() === 'mark',
      };
    } else drag = { kind: 'pan', x, y, view: model.view.peek(), scroll: board.scroll };
  });

  on('pointermove', (event) => {
    const { x, y } = at(event);
    const { ns } = board.placeAt(x, y);
    model.cursorNs.value = ns;
    if (drag === null) {
      const held = board.markAt(x, y);
      element.dataset.over = held?.edge ? 'edge' : held ? 'mark' : model.tool.peek();
      return;
    }
    if (drag.kind === 'pan') {
      if (Math.abs(x - downX) + Math.abs(y - downY) <= CLICK_PIXELS) return;
      board.scroll = drag.scroll - (y - drag.y);
      model.show(board.panned(drag.view, x - drag.x));
    } else if (drag.kind === 'select') {
      model.selection.value = {
        ...inOrder(drag.from, ns),
        lane: model.shownLanes.peek()[drag.lane ?? -1]?.name ?? null,
      };
    } else if (drag.kind === 'mark') {
      model.selection.value = { ...movedBy(drag.mark, ns - drag.from), lane: null };
    } else {
      const mark = model.marks.book.marks.get(drag.key);
      if (mark) model.selection.value = { ...withEdge(mark, drag.edge, ns), lane: null };
    }
  });

  on('pointerup', (event) => {
    const { x, y } = at(event);
    const { ns } = board.placeAt(x, y);
    const isClick = Math.abs(x - downX) + Math.abs(y - downY) <= CLICK_PIXELS;
    const ended = drag;
    drag = null;
    if (!ended) return;
    if (ended.kind === 'select' && ended.doesMark) {
      model.selection.value = null;
      model.addMark(isClick ? { startNs: ns, endNs: ns } : inOrder(ended.from, ns), NEW_LABEL);
      actions.editLabel();
    } else if (ended.kind === 'mark' || ended.kind === 'edge') {
      model.selection.value = null;
      if (isClick) return;
      const mark = ended.kind === 'mark' ? ended.mark : model.marks.book.marks.get(ended.key);
      if (!mark) return;
      const { startNs, endNs } =
        ended.kind === 'mark'
          ? { startNs: mark.startNs + ns - ended.from, endNs: mark.endNs + ns - ended.from }
          : withEdge(mark, ended.edge, ns);
      model.changeMark(mark.key, { startNs, endNs });
    } else if (isClick) {
      model.selection.value = null;
      model.selectedMark.value = null;
    }
  });

  on('pointercancel', () => {
    drag = null;
  });
  on('dblclick', (event) => {
    const { x, y } = at(event);
    if (board.markAt(x, y)) actions.editLabel();
  });
  on(
    'keydown',
    (event) => {
      if (keyDown(event, board, model, actions)) event.preventDefault();
    },
    false,
  );
  return () => stop.abort();
}

/** @returns true: the key means something here */
function keyDown(event: KeyboardEvent, board: LaneBoard, model: SeeModel, actions: BoardActions): boolean {
  const view = model.view.peek();
  const command = event.ctrlKey || event.metaKey;
  if (command) {
    if (event.key === 'z' && !event.shiftKey) model.marks.edit((book) => book.undo());
    else if (event.key === 'y' || (event.key.toLowerCase() === 'z' && event.shiftKey))
      model.marks.edit((book) => book.redo());
    else if (event.key === 's') void model.saveMarks();
    else return false;
    return true;
  }
  if (event.altKey) return false;
  const lane = model.activeLane;
  const pan = event.shiftKey ? KEY_JUMP : KEY_PAN;
  const cursor = model.cursorNs.peek() ?? timeAtPart(view, 0.5);
  const about = partOfTime(view, cursor);
  const middle = about >= 0 && about <= 1 ? about : 0.5;
  switch (event.key) {
    case 'ArrowLeft':
      model.show(panBy(view, -pan));
      break;
    case 'ArrowRight':
      model.show(panBy(view, pan));
      break;
    case 'ArrowUp':
      stepLane(model, board, -1);
      break;
    case 'ArrowDown':
      stepLane(model, board, 1);
      break;
    case '+':
    case '=':
      model.show(zoomAbout(view, middle, KEY_ZOOM));
      break;
    case '-':
    case '_':
      model.show(zoomAbout(view, middle, 1 / KEY_ZOOM));
      break;
    case 'Home':
      model.show(movedBy(view, model.whole.startNs - view.startNs));
      break;
    case 'End':
      model.show(movedBy(view, model.whole.endNs - view.endNs));
      break;
    case '0':
      model.showAll();
      break;
    case ',':
    case '<':
      moveCursor(model, board, event.key === '<' ? -20 : -1);
      break;
    case '.':
    case '>':
      moveCursor(model, board, event.key === '>' ? 20 : 1);
      break;
    case '[':
      if (lane) model.amplify(lane.name, 1 / KEY_GAIN);
      break;
    case ']':
      if (lane) model.amplify(lane.name, KEY_GAIN);
      break;
    case '{':
      setLaneHeight(model, board, 1 / KEY_GAIN);
      break;
    case '}':
      setLaneHeight(model, board, KEY_GAIN);
      break;
    case 'z':
      if (!showSelection(model)) return false;
      break;
    case 's':
      model.selection.value = { startNs: cursor, endNs: cursor, lane: lane?.name ?? null };
      break;
    case 'a':
      addAtCursor(model, cursor);
      actions.editLabel();
      break;
    case 'm':
      model.tool.value = model.tool.peek() === 'mark' ? 'move' : 'mark';
      break;
    case 'n':
    case 'p':
      stepMark(model, cursor, event.key === 'n' ? 1 : -1);
      break;
    case 'Enter':
      if (model.selectedMark.peek() === null) return false;
      actions.editLabel();
      break;
    case 'Delete':
    case 'Backspace': {
      const key = model.selectedMark.peek();
      if (key !== null) model.removeMark(key);
      break;
    }
    case 'Escape':
      model.selection.value = null;
      model.selectedMark.value = null;
      break;
    case 'h':
      if (lane) model.hide(lane.name, true);
      break;
    case 'b':
      if (lane) void model.markBad(lane, !lane.isBad);
      break;
    case 'f':
      model.autoscale();
      break;
    case 'l':
      model.setLive(!model.state.peek().isLive);
      break;
    case 'v':
      model.change({ layout: model.state.peek().layout === 'stacked' ? 'butterfly' : 'stacked' }, true);
      break;
    case 'd':
      model.change({ withoutLevel: !model.state.peek().withoutLevel }, true);
      break;
    case '?':
      actions.open('keys');
      break;
    case 'e':
      actions.open('export');
      break;
    case 'w':
      actions.open('spectrum');
      break;
    case 't':
      actions.open('table');
      break;
    default:
      return false;
  }
  return true;
}

/** What keys do, for people. */
export const KEY_HELP: readonly (readonly [keys: string, does: string])[] = [
  ['← →', 'move; with Shift by a whole screen'],
  ['+ −', 'zoom about the cursor; so does the wheel'],
  ['Home, End, 0', 'begin, end, all'],
  ['↑ ↓', 'choose a lane'],
  [', .', 'move the cursor by a pixel; with Shift by twenty'],
  ['[ ]', 'amplitude of the lane; Alt and the wheel, too'],
  ['{ }', 'height of all lanes'],
  ['h, b', 'hide the lane; say that its channel is bad'],
  ['f, d, v', 'fit amplitudes; take levels away; lay lanes over each other'],
  ['m', 'mark with the pointer: click for a flag, drag for a band'],
  ['z', 'zoom into the span that was chosen: drag with Shift, or s and then , .'],
  ['s, a', 'begin a band at the cursor; add a flag, or the band, at the cursor'],
  ['n, p', 'next and previous mark; Enter edits it, Delete removes it'],
  ['Ctrl Z, Ctrl Shift Z', 'undo, redo'],
  ['Ctrl S', 'save annotations'],
  ['l', 'follow what is being written'],
  ['t, w, e', 'values as a table; spectrum; export'],
];

function inOrder(a: bigint, b: bigint): ViewWindow {
  return a < b ? { startNs: a, endNs: b } : { startNs: b, endNs: a };
}

function withEdge({ startNs, endNs }: ViewWindow, edge: 'start' | 'end', ns: bigint): ViewWindow {
  return edge === 'start' ? inOrder(ns, endNs) : inOrder(startNs, ns);
}

function showSelection(model: SeeModel): boolean {
  const selection = model.selection.peek();
  if (!selection || selection.startNs === selection.endNs) return false;
  model.show(boundedView(inOrder(selection.startNs, selection.endNs)));
  model.selection.value = null;
  return true;
}

function stepLane(model: SeeModel, board: LaneBoard, by: number): void {
  const next = model.active.peek() + by;
  if (next < 0 || next >= model.shownLanes.peek().length) return;
  model.active.value = next;
  board.scroll = Math.max(board.scroll, (next + 1) * board.laneHeight - board.lanesHeight);
  board.scroll = Math.min(board.scroll, next * board.laneHeight);
}

function setLaneHeight(model: SeeModel, board: LaneBoard, factor: number): void {
  const height = Math.min(LANE_HEIGHTS.most, Math.max(LANE_HEIGHTS.least, board.laneHeight * factor));
  model.change({ laneHeight: height });
}

/** The view goes after a cursor that leaves it. */
function moveCursor(model: SeeModel, board: LaneBoard, pixels: number): void {
  const view = model.view.peek();
  const step = board.nsOf(Math.abs(pixels)) || 1n;
  const from = model.cursorNs.peek() ?? timeAtPart(view, 0.5);
  const ns = pixels < 0 ? from - step : from + step;
  model.cursorNs.value = ns;
  const selection = model.selection.peek();
  if (selection) model.selection.value = { ...selection, endNs: ns };
  if (ns < view.startNs || ns >= view.endNs) model.show(centredOn(view, ns));
}

function addAtCursor(model: SeeModel, cursor: bigint): void {
  const selection = model.selection.peek();
  model.selection.value = null;
  model.addMark(
    selection ? inOrder(selection.startNs, selection.endNs) : { startNs: cursor, endNs: cursor },
    NEW_LABEL,
  );
}

function stepMark(model: SeeModel, cursor: bigint, direction: 1 | -1): void {
  const { marks } = model.marks.book;
  const chosen = marks.get(model.selectedMark.peek() ?? '');
  const mark = marks.beside(chosen?.startNs ?? cursor, direction);
  if (!mark) return;
  model.selectedMark.value = mark.key;
  model.cursorNs.value = mark.startNs;
  const view = model.view.peek();
  if (mark.startNs < view.startNs || mark.startNs >= view.endNs) model.show(centredOn(view, mark.startNs));
}
