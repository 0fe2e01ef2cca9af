/** The search bar: words, and conditions as chips that are made of a key, an operator and a value. */
import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { useAnswer } from '../answer.ts';
import { dataOf, type Api } from '../api.ts';
import { fieldText } from '../field-text.ts';
import { spelledCount, spelledValue } from '../spelled.ts';
import { FIELDS, keyName, makeCondition, CHIP_OPERATORS, chipParts, readTyped } from './condition.ts';
import type { ChipCondition, TypedAs } from './condition.ts';

const OFFERED = 50;
/** Words are searched for when nobody has typed for so long. */
const TYPED_MS = 250;

interface ConditionBarProps {
  readonly api: Api;
  readonly words: string;
  readonly conditions: readonly ChipCondition[];
  readonly onWords: (words: string, isFinal: boolean) => void;
  readonly onConditions: (conditions: readonly ChipCondition[]) => void;
}

export function ConditionBar({ api, words, conditions, onWords, onConditions }: ConditionBarProps) {
  const isAdding = useSignal(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  return (
    <search class="bar">
      <form
        class="bar-words"
        onSubmit={(event) => {
          event.preventDefault();
          clearTimeout(timer.current);
          onWords(fieldText(event.currentTarget, 'words'), true);
        }}
      >
        <input
          type="search"
          name="words"
          aria-label="Words in name or description"
          placeholder="Words in name or description"
          value={words}
          onInput={(event) => {
            const { value } = event.currentTarget;
            clearTimeout(timer.current);
            timer.current = setTimeout(() => onWords(value, false), TYPED_MS);
          }}
        />
      </form>
      <ul class="chips" aria-label="Conditions">
        {conditions.map((condition, i) => {
          const { key, operator, value } = chipParts(condition);
          return (
            <li class="chip" key={JSON.stringify(condition)}>
              <span>
                <b>{keyName(key)}</b> {operator} {value}
              </span>
              <button
                type="button"
                class="chip-away"
                aria-label={`Remove ${keyName(key)} ${operator} ${value}`}
                onClick={() => onConditions(conditions.filter((_, at) => at !== i))}
              >
                ×
              </button>
            </li>
          );
        })}
        <li>
          {isAdding.value ? null : (
            <button type="button" class="chip chip-add" onClick={() => (isAdding.value = true)}>
              + condition
            </button>
          )}
        </li>
      </ul>
      {isAdding.value ? (
        <ConditionForm
          api={api}
          onDone={(condition) => {
            isAdding.value = false;
            if (condition) onConditions([...conditions, condition]);
          }}
        />
      ) : null}
    </search>
  );
}

function ConditionForm({ api, onDone }: { readonly api: Api; readonly onDone: (made: ChipCondition | null) => void }) {
  const key = useSignal('');
  const operator = useSignal('eq');
  const text = useSignal('');
  const problem = useSignal<string | null>(null);
  const keys = useAnswer('keys', (signal) => dataOf(api.GET('/v1/tags', { params: { query: { limit: 200 } }, signal })))
    .value.data?.items;
  const isField = key.value.startsWith('field.');
  const isKnown = keys?.some((each) => each.key === key.value) === true;
  const prefix = text.value.trim();
  const values = useAnswer(`${key.value} ${isKnown} ${prefix}`, async (signal) => {
    if (!isKnown) return [];
    const params = { path: { key: key.value }, query: { prefix, limit: OFFERED } };
    return (await dataOf(api.GET('/v1/tags/{key}', { params, signal }))).items;
  }).value.data;

  const add = (): void => {
    const types: readonly TypedAs[] = isField
      ? [FIELDS[key.value.slice('field.'.length)] ?? 'string']
      : (keys?.find((each) => each.key === key.value)?.types ?? []);
    const offered = values?.find((each) => spelledValue(each.value) === prefix);
    const value = offered ? offered.value : readTyped(prefix, types);
    if (key.value === '') problem.value = 'Choose what to search by.';
    else if (operator.value !== 'exists' && (value === null || prefix === ''))
      problem.value = `${keyName(key.value)} is compared with ${types.join(' or ') || 'a text'}.`;
    else onDone(makeCondition(key.value, operator.value, value));
  };

  return (
    <form
      class="bar-form"
      aria-label="New condition"
      onSubmit={(event) => {
        event.preventDefault();
        add();
      }}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onDone(null);
      }}
    >
      <label>
        Key
        <input
          list="condition-keys"
          value={key.value}
          autocomplete="off"
          ref={(element) => {
            if (element && key.peek() === '' && document.activeElement?.tagName === 'BODY') element.focus();
          }}
          onInput={(event) => (key.value = event.currentTarget.value.trim())}
        />
        <datalist id="condition-keys">
          {keys?.map((each) => (
            <option key={each.key} value={each.key}>
              {spelledCount(each.count)} series
            </option>
          ))}
          {Object.keys(FIELDS).map((field) => (
            <option key={field} value={`field.${field}`}>
              field
            </option>
          ))}
        </datalist>
      </label>
      <label>
        Operator
        <select value={operator.value} onChange={(event) => (operator.value = event.currentTarget.value)}>
          {Object.entries(CHIP_OPERATORS).map(([each, word]) => (
            <option key={each} value={each}>
              {word}
            </option>
          ))}
        </select>
      </label>
      {operator.value === 'exists' ? null : (
        <label>
          Value
          <input
            list="condition-values"
            value={text.value}
            autocomplete="off"
            onInput={(event) => (text.value = event.currentTarget.value)}
          />
          <datalist id="condition-values">
            {values?.map((each) => (
              <option key={spelledValue(each.value)} value={spelledValue(each.value)}>
                {spelledCount(each.count)} series
              </option>
            ))}
          </datalist>
        </label>
      )}
      <button type="submit" class="button button-first">
        Add
      </button>
      <button type="button" class="button" onClick={() => onDone(null)}>
        Cancel
      </button>
      {problem.value === null ? null : (
        <p class="field-problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}
