/** Which channels a request means. */
import { invalidField } from '../errors.ts';
import { nameKey } from '../same-name.ts';
import type { Channel } from './series.ts';

/** Labels that an error lists. */
const SHOWN = 20;

/** A label or a 0-based number; or surely a label, whatever it looks like. */
export type WantedChannel = string | { readonly label: string };

/**
 * @param wanted null: all
 * @returns their numbers, in the order wanted; null: all
 * @throws invalid-input naming `channels`, also for a channel that is wanted twice
 */
export function chooseChannels(channels: readonly Channel[], wanted: readonly WantedChannel[] | null): number[] | null {
  if (!wanted) return null;
  const byLabel = new Map(channels.map(({ label }, index) => [nameKey(label), index]));
  const chosen = wanted.map((each) => {
    const name = typeof each === 'string' ? each : each.label;
    const found = byLabel.get(nameKey(name));
    if (found !== undefined) return found;
    const index = typeof each === 'string' && /^\d+$/.test(each) ? Number(each) : NaN;
    if (index < channels.length) return index;
    const known = channels.slice(0, SHOWN).map(({ label }) => label);
    throw invalidField('channels', `the series has no channel ${JSON.stringify(name)}; it has ${known.join(', ')}`);
  });
  const twice = chosen.find((index, at) => chosen.indexOf(index) !== at);
  if (twice === undefined) return chosen;
  throw invalidField('channels', `names the channel ${JSON.stringify(channels[twice].label)} twice`);
}
