/** Labels for the channels of a recording, distinct whatever its file calls them. */

import { nameKey } from '../../core/same-name.ts';

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
