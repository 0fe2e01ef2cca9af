/** What a view of lanes is set to, from and to the parameters of the address. Pure. */
import { isZone, type TimeStyle } from './time-ticks.ts';
import { viewOfText, type ViewWindow } from './view-window.ts';

/** One channel of one series. */
export interface LaneKey {
  /** Place of the series among those that are seen. */
  readonly series: number;
  readonly channel: number;
}

export type LaneLayout = 'stacked' | 'butterfly';
export type ScaleMode = 'each' | 'shared';

export interface SeeState {
  /** Null: all that there is. */
  readonly view: ViewWindow | null;
  readonly layout: LaneLayout;
  readonly scale: ScaleMode;
  /** The level of each lane is taken away. */
  readonly withoutLevel: boolean;
  readonly time: 'utc' | 'since' | { readonly zone: string };
  /** Follows what is being written. */
  readonly isLive: boolean;
  /** Names of lanes, as {@link laneName} makes them. */
  readonly hidden: ReadonlySet<string>;
  readonly gains: ReadonlyMap<string, number>;
  /** Pixels; null: so that all fit. */
  readonly laneHeight: number | null;
}

/** Parameters that the view owns, and what they are without being said. */
export const SEE_PARAMETERS = [
  'from',
  'to',
  'layout',
  'scale',
  'level',
  'time',
  'live',
  'hide',
  'gain',
  'height',
] as const;
type SeeParameter = (typeof SEE_PARAMETERS)[number];
/** Smallest and largest height of a lane that is chosen. */
export const LANE_HEIGHTS = { least: 2, most: 600 };
const GAINS = { least: 1e-6, most: 1e6 };

export function laneName({ series, channel }: LaneKey): string {
  return `${series}.${channel}`;
}

/** @param read the value of a parameter; what cannot be understood is as if it were not there */
export function seeStateOf(read: (name: SeeParameter) => string | null): SeeState {
  const time = read('time');
  const height = Number(read('height') ?? Number.NaN);
  return {
    view: viewOfText(read('from'), read('to')),
    layout: read('layout') === 'butterfly' ? 'butterfly' : 'stacked',
    scale: read('scale') === 'shared' ? 'shared' : 'each',
    withoutLevel: read('level') === 'off',
    time: time === 'since' ? 'since' : time !== null && time !== 'utc' && isZone(time) ? { zone: time } : 'utc',
    isLive: read('live') === '1',
    hidden: new Set((read('hide') ?? '').split(',').filter((each) => /^\d+\.\d+$/.test(each))),
    gains: new Map((read('gain') ?? '').split(',').flatMap(gainOf)),
    laneHeight: height >= LANE_HEIGHTS.least && height <= LANE_HEIGHTS.most ? height : null,
  };
}

function gainOf(text: string): [string, number][] {
  const match = /^(\d+\.\d+)x([\d.e+-]+)$/.exec(text);
  const gain = Number(match?.[2]);
  return match && gain >= GAINS.least && gain <= GAINS.most ? [[match[1], gain]] : [];
}

/** The parameters of a state; null: it need not be said. */
export function parametersOf(state: SeeState): Record<SeeParameter, string | null> {
  const gains = [...state.gains].filter(([, gain]) => gain !== 1);
  return {
    from: state.view && String(state.view.startNs),
    to: state.view && String(state.view.endNs),
    layout: state.layout === 'stacked' ? null : state.layout,
    scale: state.scale === 'each' ? null : state.scale,
    level: state.withoutLevel ? 'off' : null,
    time: typeof state.time === 'object' ? state.time.zone : state.time === 'utc' ? null : state.time,
    live: state.isLive ? '1' : null,
    hide: state.hidden.size === 0 ? null : [...state.hidden].join(','),
    gain: gains.length === 0 ? null : gains.map(([name, gain]) => `${name}x${Number(gain.toPrecision(4))}`).join(','),
    height: state.laneHeight === null ? null : String(Math.round(state.laneHeight)),
  };
}

/** How times are told. @param originNs when the first of the recordings begins */
export function timeStyleOf({ time }: SeeState, originNs: bigint): TimeStyle {
  if (time === 'utc') return { kind: 'utc' };
  return time === 'since' ? { kind: 'since', originNs } : { kind: 'local', zone: time.zone };
}
