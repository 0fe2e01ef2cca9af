/** Which channels a request means. */
import { invalidField } from './errors.ts';
import type { Channel } from './series.ts';

/** Labels that an error lists. */
const SHOWN = 20;

/**
 * @param wanted labels or 0-based numbers; null: all
 * @returns their numbers, in the order wanted; null: all
 * @throws invalid-input naming `channels`
 */
export function chooseChannels(channels: readonly Channel[], wanted: readonly string[] | null): number[] | null {
  if (!wanted) return null;
  return wanted.map((name) => {
    const byLabel = channels.findIndex(({ label }) => label === name);
    if (byLabel >= 0) return byLabel;
    const index = /^\d+$/.test(name) ? Number(name) : NaN;
    if (index < channels.length) return index;
    const known = channels.slice(0, SHOWN).map(({ label }) => label);
    throw invalidField('channels', `the series has no channel ${JSON.stringify(name)}; it has ${known.join(', ')}`);
  });
}
