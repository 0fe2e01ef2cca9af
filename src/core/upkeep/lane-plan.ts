/** Which lanes new series go to. */

/** A lane takes this many series: HDF5 creates and appends a few thousand a second per thread, and a shard opens with its groups. */
export const SERIES_PER_LANE = 1000;
/** New series are spread over this many lanes, so that they can be flushed side by side. */
export const OPEN_LANES = 4;

export interface OpenLane {
  readonly id: string;
  readonly series: number;
}

export interface LanePlaces {
  readonly id: string;
  readonly isNew: boolean;
  readonly places: number;
}

/**
 * Gives each series the lane that has fewest.
 * @param lanes that have room and are ours to fill
 * @param open lanes that have room at all: if they are fewer than {@link OPEN_LANES}, new ones are made
 */
export function planPlaces(lanes: readonly OpenLane[], open: number, count: number, newId: () => string): LanePlaces[] {
  const plan = lanes.map((lane) => ({ ...lane, isNew: false, places: 0 }));
  const room = (): number => plan.reduce((sum, lane) => sum + SERIES_PER_LANE - lane.series, 0);
  for (let at = open; at < OPEN_LANES; at++) plan.push({ id: newId(), series: 0, isNew: true, places: 0 });
  while (room() < count) plan.push({ id: newId(), series: 0, isNew: true, places: 0 });
  for (let left = count; left > 0; left--) {
    const emptiest = plan.reduce((best, lane) => (lane.series + lane.places < best.series + best.places ? lane : best));
    emptiest.places++;
  }
  return plan.filter(({ places }) => places > 0).map(({ id, isNew, places }) => ({ id, isNew, places }));
}
