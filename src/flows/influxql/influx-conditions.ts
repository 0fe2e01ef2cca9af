/** Conditions of InfluxQL as expressions of a search. */
import { invalidField } from '../../core/errors.ts';
import type { NameMatch, TagCondition, TagTest } from '../../core/influxql/influxql-statement.ts';
import type { Expression } from '../../core/tags/tag-expression.ts';
import { MEASUREMENT_TAG } from '../../formats/line-protocol/line-names.ts';
import { patternFault, patternPrefix } from '../../core/tags/tag-pattern.ts';

/** The series of a project that a statement asks for. @param from measurements; empty: all @throws invalid-input naming `q` */
export function expressionOf(project: string, from: readonly NameMatch[], tags: TagCondition | null): Expression {
  const parts: Expression[] = [
    { kind: 'field', field: 'project', test: { op: 'any', values: [{ type: 'text', text: project }] } },
    { kind: 'tag', key: MEASUREMENT_TAG, test: { op: 'exists' } },
  ];
  const named = from.map((match): Expression => matching(MEASUREMENT_TAG, match));
  if (named.length === 1) parts.push(named[0]);
  else if (named.length > 1) parts.push({ kind: 'or', of: named });
  if (tags) parts.push(tagExpression(tags));
  return { kind: 'and', of: parts };
}

function matching(key: string, match: NameMatch): Expression {
  return 'name' in match ? equals(key, match.name) : like(key, match.regex);
}

function equals(key: string, text: string): Expression {
  return { kind: 'tag', key, test: { op: 'any', values: [{ type: 'text', text }] } };
}

function like(key: string, pattern: string): Expression {
  const fault = patternFault(pattern);
  if (fault !== undefined) throw invalidField('q', `the regular expression /${pattern}/ ${fault}`);
  return { kind: 'tag', key, test: { op: 'regex', pattern, prefix: patternPrefix(pattern) } };
}

function tagExpression(condition: TagCondition): Expression {
  if (condition.kind !== 'test') return { kind: condition.kind, of: condition.of.map(tagExpression) };
  return testExpression(condition.test);
}

/** A tag that a series does not have is an empty text to InfluxDB. */
function testExpression(test: TagTest): Expression {
  const { key } = test;
  if ('text' in test) {
    const has = test.text === '' ? isMissing(key) : equals(key, test.text);
    return test.op === '=' ? has : { kind: 'not', of: has };
  }
  const found = like(key, test.regex);
  const matchesNothing = new RegExp(test.regex, 'u').test('');
  const all: Expression = matchesNothing ? { kind: 'or', of: [found, isMissing(key)] } : found;
  return test.op === '=~' ? all : { kind: 'not', of: all };
}

function isMissing(key: string): Expression {
  return { kind: 'not', of: { kind: 'tag', key, test: { op: 'exists' } } };
}

/** Whether a name is meant. */
export function isMeant(match: NameMatch, name: string): boolean {
  return 'name' in match ? match.name === name : new RegExp(match.regex, 'u').test(name);
}
