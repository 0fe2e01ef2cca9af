/** What is known of a thing: names and values. */
import { spelledValue } from '../spelled.ts';

export function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** Values of any depth, with their paths as names. */
export function Facts({ of, empty }: { readonly of: Readonly<Record<string, unknown>>; readonly empty: string }) {
  const facts = flat(of, '');
  if (facts.length === 0) return <p class="quiet">{empty}</p>;
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <Fact key={name} name={name} value={spelledValue(value)} />
      ))}
    </dl>
  );
}

function flat(value: unknown, path: string): [string, unknown][] {
  if (typeof value !== 'object' || value === null) return [[path, value]];
  return Object.entries(value).flatMap(([key, each]) =>
    flat(each, path === '' ? key : Array.isArray(value) ? `${path} ${Number(key) + 1}` : `${path} ${key}`),
  );
}
