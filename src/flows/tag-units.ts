/** Units of quantities in tags: what UCUM codes mean, as searches compare them. */
import { toCanonicalForm, ucum } from '@atomic-ehr/ucum';
import { unprocessableField } from '../core/errors.ts';
import { unitCodesOf, type TagUnit, type TagValue } from '../core/tag-value.ts';

const MAX_UNIT_CHARS = 200;
/** Units that were read; clients use few. */
const MAX_KEPT = 10_000;
/** What people write where UCUM has ASCII. */
const SPELLINGS: readonly (readonly [RegExp, string])[] = [
  [/[µμ]/g, 'u'],
  [/[ΩΩ]/g, 'Ohm'],
  [/°C/g, 'Cel'],
  [/°F/g, '[degF]'],
];
/** Scales with a zero of their own that still are proportional; logarithms are not. */
const SHIFTED: ReadonlySet<string> = new Set(['Cel', 'degF', 'degRe']);

const kept = new Map<string, TagUnit | undefined>();

/**
 * @returns undefined for a text that is no unit
 * @see https://ucum.org/ucum
 */
export function readUnit(code: string): TagUnit | undefined {
  if (!kept.has(code)) {
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(code, code.length <= MAX_UNIT_CHARS ? understand(code) : undefined);
  }
  return kept.get(code);
}

/** What the units of these tags mean; units that are none are left out. */
export function unitsOf(tags: Readonly<Record<string, TagValue | null>>): TagUnit[] {
  return unitCodesOf(tags).flatMap((code) => readUnit(code) ?? []);
}

/** As {@link unitsOf}. @throws unprocessable naming the tag for what is no unit */
export function unitsNamingTags(tags: Readonly<Record<string, TagValue | null>>): TagUnit[] {
  const codes = unitCodesOf(tags);
  const foreign = codes.find((code) => !readUnit(code));
  if (foreign === undefined) return codes.flatMap((code) => readUnit(code) ?? []);
  const key = Object.keys(tags).find((each) => unitCodesOf({ [each]: tags[each] }).includes(foreign));
  throw unprocessableField(`tags.${key}`, `${JSON.stringify(foreign)} is no UCUM unit`, 'unknown-unit');
}

function understand(code: string): TagUnit | undefined {
  const spelled = SPELLINGS.reduce((text, [from, to]) => text.replaceAll(from, to), code);
  try {
    const { magnitude, dimension, specialFunction } = toCanonicalForm(spelled);
    if (!Number.isFinite(magnitude) || magnitude <= 0) return undefined;
    if (specialFunction && SHIFTED.has(specialFunction.name)) {
      const zero = ucum.convert(0, spelled, 'K');
      return { code, factor: rounded(ucum.convert(1, spelled, 'K') - zero), shift: rounded(zero), dimension: 'Θ1' };
    }
    // Decibels and units that the body of a standard defines by procedure compare with themselves only.
    if (specialFunction || ucum.isArbitraryUnit(spelled))
      return { code, factor: 1, shift: 0, dimension: `[${spelled}]` };
    const parts = Object.entries(dimension as Record<string, number>).filter(([, exponent]) => exponent !== 0);
    return {
      code,
      factor: rounded(magnitude),
      shift: 0,
      dimension:
        parts
          .map(([base, exponent]) => `${base}${exponent}`)
          .sort()
          .join('') || '1',
    };
  } catch {
    return undefined;
  }
}

/** Takes back what multiplying prefixes in binary has added. */
function rounded(value: number): number {
  return Number(value.toPrecision(13));
}
