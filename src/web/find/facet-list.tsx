/** The most frequent values at the side, each with how many series have it. */
import { spelledCount, spelledValue } from '../spelled.ts';
import { isChosen, keyName, toggle, type ChipCondition } from './condition.ts';

/** Values that are shown of a key. */
const SHOWN = 8;

export interface FacetCount {
  readonly value: unknown;
  readonly count: number;
  readonly estimated?: true;
}

interface FacetListProps {
  readonly keys: readonly string[];
  /** Undefined: has not come yet. */
  readonly facets: Readonly<Record<string, readonly FacetCount[]>> | undefined;
  readonly conditions: readonly ChipCondition[];
  readonly onConditions: (conditions: readonly ChipCondition[]) => void;
}

export function FacetList({ keys, facets, conditions, onConditions }: FacetListProps) {
  const shown = facets ? keys.filter((key) => facets[key]?.some((each) => each.value !== null)) : keys;
  return (
    <nav class="facets" aria-label="Narrow by value">
      {shown.map((key) => (
        <fieldset key={key} class="facet">
          <legend>{keyName(key)}</legend>
          {facets
            ? facets[key]
                ?.filter((each) => each.value !== null)
                .slice(0, SHOWN)
                .map(({ value, count, estimated }) => (
                  <label key={JSON.stringify(value)} class="facet-value">
                    <input
                      type="checkbox"
                      checked={isChosen(conditions, key, value)}
                      onChange={() => onConditions(toggle(conditions, key, value))}
                    />
                    <span class="facet-name">{spelledValue(value)}</span>
                    <span class="facet-count">
                      {estimated ? '≈ ' : ''}
                      {spelledCount(count)}
                    </span>
                  </label>
                ))
            : [1, 2, 3].map((each) => <div key={each} class="skeleton skeleton-line" />)}
        </fieldset>
      ))}
    </nav>
  );
}
