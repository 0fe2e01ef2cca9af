/** The series that a search finds, for a view of all of them. */
import { dataOf, type Api } from '../api.ts';
import { readConditions } from './condition.ts';

/** Lanes that one view may have. */
const MAX_LANES = 400;

/**
 * Their ids, by name, as many as one view may have.
 * @param text the tree of the search as JSON; `null` finds all
 */
export async function findIds(api: Api, text: string, signal: AbortSignal): Promise<string[]> {
  const [where] = readConditions(text);
  const ids: string[] = [];
  for (let cursor: string | undefined; ids.length < MAX_LANES;) {
    const body = { ...(where && { where: where as Record<string, never> }), sort: ['name'], limit: MAX_LANES, cursor };
    const page = await dataOf(api.POST('/v1/series/search', { body, signal }));
    ids.push(...page.items.map((each) => each.id));
    if (page.cursor === null) break;
    cursor = page.cursor;
  }
  return ids.slice(0, MAX_LANES);
}
