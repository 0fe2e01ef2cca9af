/** Labels for the channels of a recording, distinct whatever its file calls them. */

import { nameKey } from '../../core/same-name.ts';

/** Longest label and unit that a series takes. */
const MAX_CHANNEL_LABEL_CHARS = 200;
export const MAX_CHANNEL_UNIT_CHARS = 100;

/** A text of a file as a label: without control characters, cut where it is too long; `otherwise` if nothing is left. */
export function channelLabelOf(text: string, otherwise: string): string {
  const clean = text
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, MAX_CHANNEL_LABEL_CHARS - 10)
    .trim();
  return clean === '' ? otherwise : clean;
}

/** The labels as they are; one that is there already gets ` (2)`, ` (3)` … */
export function distinctLabels(labels: readonly string[]): string[] {
  const taken = new Set<string>();
  return labels.map((label) => {
    let distinct = label;
    for (let n = 2; taken.has(nameKey(distinct)); n++) distinct = `${label} (${n})`;
    taken.add(nameKey(distinct));
    return distinct;
  });
}
