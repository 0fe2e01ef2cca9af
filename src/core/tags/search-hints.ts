/** What would make a search faster, told from its conditions alone. */
import type { SearchRequest } from './search-request.ts';
import { INDEXED_FIELDS } from './search-field.ts';
import { namesItsSeries, type Expression } from './tag-expression.ts';

/** One sentence each; none if an index leads. */
export function searchHints({ where, sort }: Pick<SearchRequest, 'where' | 'sort'>): string[] {
  const hints = new Set<string>();
  if (where) {
    for (const condition of conditionsOf(where)) {
      const hint = hintFor(condition);
      if (hint !== undefined) hints.add(hint);
    }
    if (!leads(where)) {
      hints.add('No condition leads to few series by an index: add one that does, such as a tag, overlaps or text.');
    }
  }
  if (sort.some((key) => key.by !== 'field' || key.field !== 'name')) {
    hints.add(
      'Sorting by anything but name, or age (the order without "sort"), sorts all series that are found: narrow them first.',
    );
  }
  return [...hints];
}

function hintFor(condition: Expression): string | undefined {
  if (condition.kind !== 'tag' && condition.kind !== 'field') return undefined;
  const { test } = condition;
  const what = condition.kind === 'tag' ? `tag ${condition.key}` : `field ${condition.field}`;
  if (test.op === 'contains')
    return `"contains" reads every value of ${what}: "prefix" does not, and "text" finds whole words.`;
  if (test.op === 'regex' && test.prefix === '') {
    return `A "regex" that does not begin with ^ and a fixed text reads every value of ${what}.`;
  }
  return undefined;
}

function* conditionsOf(where: Expression): Generator<Expression> {
  if (where.kind === 'and' || where.kind === 'or') for (const each of where.of) yield* conditionsOf(each);
  else if (where.kind === 'not') yield* conditionsOf(where.of);
  else yield where;
}

function leads(where: Expression): boolean {
  switch (where.kind) {
    case 'and':
      return where.of.some(leads);
    case 'or':
      return where.of.every(leads);
    case 'active_since':
      return true;
    case 'field':
      if (where.test.op === 'any') return INDEXED_FIELDS.has(where.field);
      return where.field === 'name' && where.test.op === 'prefix';
    case 'has_channel':
      return where.like.label !== undefined || namesItsSeries(where);
    default:
      return namesItsSeries(where);
  }
}
