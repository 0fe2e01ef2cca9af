/** Units of quantities in tags: what UCUM codes mean, as exact fractions of base units. */
import { parseUnit, toCanonicalForm, ucum } from '@atomic-ehr/ucum';
import { unprocessableField } from '../../core/errors.ts';
import { isInReach } from '../../core/tags/quantity.ts';
import {
  decimalRatio,
  ONE,
  power,
  powerOfTen,
  ratio,
  times,
  toFloat,
  ZERO,
  type Ratio,
} from '../../core/numbers/ratio.ts';
import { tagField } from '../../core/tags/tag-edit.ts';
import { scalarsOf, unitCodesOf, type TagUnit, type TagValue } from '../../core/signal/tag-value.ts';

const MAX_UNIT_CHARS = 200;
/** Units that were read; clients use few. */
const MAX_KEPT = 10_000;
/** What people write where UCUM has ASCII; and units of UCUM that the parser cannot read, by what they stand for. */
const SPELLINGS: readonly (readonly [RegExp, string])[] = [
  [/[µμ]/g, 'u'],
  [/[ΩΩ]/g, 'Ohm'],
  [/°C/g, 'Cel'],
  [/°F/g, '[degF]'],
  [/''/g, "('/60)"],
  [/([a-zA-Z]*g)%/g, '($1/dl)'],
];
/** Larger ones mean nothing, and take long to reckon. */
const MAX_EXPONENT = 100;

const BASE_UNITS: Readonly<Record<string, string>> = { m: 'L', g: 'M', s: 'T', rad: 'A', K: 'Θ', C: 'Q', cd: 'F' };
const PREFIXES: Readonly<Record<string, Ratio>> = {
  ...Object.fromEntries(
    Object.entries({ Y: 24, Z: 21, E: 18, P: 15, T: 12, G: 9, M: 6, k: 3, h: 2, da: 1, d: -1, c: -2, m: -3 }).map(
      ([name, exponent]) => [name, powerOfTen(exponent)],
    ),
  ),
  ...Object.fromEntries(
    Object.entries({ u: -6, n: -9, p: -12, f: -15, a: -18, z: -21, y: -24 }).map(([name, exponent]) => [
      name,
      powerOfTen(exponent),
    ]),
  ),
  ...Object.fromEntries(['Ki', 'Mi', 'Gi', 'Ti'].map((name, at) => [name, ratio(1024n ** BigInt(at + 1))])),
};
/** UCUM defines π by these digits. */
const PI = decimalRatio('3.1415926535897932384626433832795028841971693993751058209749445923');
/** Digits of the numbers by which UCUM defines units, at most; those of π are more. A float64 has as many, and the decimal is read from it. */
const DEFINITION_DIGITS = 13;
/** Scales of temperature: what a degree is, and what 0 degrees are, both in K. */
const TEMPERATURES: Readonly<Record<string, { readonly degree: Ratio; readonly zero: Ratio }>> = {
  Cel: { degree: ONE, zero: decimalRatio('273.15') },
  '[degF]': { degree: ratio(5n, 9n), zero: times(decimalRatio('459.67'), ratio(5n, 9n)) },
  '[degRe]': { degree: ratio(5n, 4n), zero: decimalRatio('273.15') },
};

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

/** What the units of these tags mean; texts that are no units are left out. */
export function unitsOf(tags: Readonly<Record<string, TagValue | null>>): TagUnit[] {
  return unitCodesOf(tags).flatMap((code) => readUnit(code) ?? []);
}

/**
 * Does what {@link unitsOf} does. @throws unprocessable naming the tag for what is no unit, and for what cannot be said
 * in base units
 */
export function unitsNamingTags(tags: Readonly<Record<string, TagValue | null>>): TagUnit[] {
  for (const [key, value] of Object.entries(tags)) {
    for (const each of scalarsOf(value)) {
      if (typeof each !== 'object' || !('unit' in each)) continue;
      const unit = readUnit(each.unit);
      if (!unit)
        throw unprocessableField(tagField(key), `${JSON.stringify(each.unit)} is no UCUM unit`, 'unknown-unit');
      if (!isInReach({ value: each.value, unit })) {
        throw unprocessableField(tagField(key), 'is beyond what a float64 holds in base units', 'out-of-range');
      }
    }
  }
  return unitsOf(tags);
}

function understand(code: string): TagUnit | undefined {
  const spelled = SPELLINGS.reduce((text, [from, to]) => text.replaceAll(from, to), code);
  try {
    const node = parsed(spelled);
    const { factor, dimensions } = meaningOf(node);
    const size = toFloat(factor);
    if (!Number.isFinite(size) || size <= 0) return undefined;
    // Of a degree Celsius by itself the temperature is meant; in a product such as J/Cel, a difference.
    const alone = node.type === 'unit' && (node.exponent ?? 1) === 1 ? TEMPERATURES[node.atom] : undefined;
    const dimension = [...dimensions].filter(([, exponent]) => exponent !== 0);
    return {
      code,
      factor,
      shift: alone?.zero ?? ZERO,
      dimension:
        dimension
          .map(([base, exponent]) => `${base}${exponent}`)
          .sort()
          .join('') || '1',
    };
  } catch {
    return undefined;
  }
}

type Node = NonNullable<ReturnType<typeof parseUnit>['ast']>;

interface Meaning {
  readonly factor: Ratio;
  /** Exponents, by what the dimension is called. */
  readonly dimensions: ReadonlyMap<string, number>;
}

/** @throws Error for a text that is no unit */
function parsed(text: string): Node {
  const { ast, errors } = parseUnit(text);
  if (!ast || errors.length > 0) throw new Error(`${text} is no unit`);
  return ast;
}

function meaningOf(node: Node): Meaning {
  switch (node.type) {
    case 'factor':
      if (!Number.isSafeInteger(node.value)) throw new RangeError('a factor is too long');
      return { factor: ratio(BigInt(node.value)), dimensions: new Map() };
    case 'unit': {
      const exponent = node.exponent ?? 1;
      if (Math.abs(exponent) > MAX_EXPONENT) throw new RangeError('an exponent is too large');
      const { factor, dimensions } = atomMeaning(node.atom);
      const size = node.prefix === undefined ? factor : times(factor, PREFIXES[node.prefix]);
      return raised({ factor: size, dimensions }, exponent);
    }
    case 'binary':
      return product(meaningOf(node.left), raised(meaningOf(node.right), node.operator === '/' ? -1 : 1));
    case 'unary':
      return raised(meaningOf(node.operand), -1);
    default:
      return meaningOf(node.expression);
  }
}

function product(a: Meaning, b: Meaning): Meaning {
  const dimensions = new Map(a.dimensions);
  for (const [base, exponent] of b.dimensions) dimensions.set(base, (dimensions.get(base) ?? 0) + exponent);
  return { factor: times(a.factor, b.factor), dimensions };
}

function raised({ factor, dimensions }: Meaning, exponent: number): Meaning {
  return {
    factor: power(factor, exponent),
    dimensions: new Map([...dimensions].map(([base, each]) => [base, each * exponent])),
  };
}

const atoms = new Map<string, Meaning>();

function atomMeaning(atom: string): Meaning {
  let meaning = atoms.get(atom);
  if (!meaning) atoms.set(atom, (meaning = readAtom(atom)));
  return meaning;
}

/** @throws Error for what is no unit */
function readAtom(atom: string): Meaning {
  if (Object.hasOwn(BASE_UNITS, atom)) return of(ONE, BASE_UNITS[atom]);
  if (Object.hasOwn(TEMPERATURES, atom)) return of(TEMPERATURES[atom].degree, BASE_UNITS.K);
  if (atom === '[pi]') return of(PI);
  const { isSpecial, isArbitrary, definition, canonical } = ucum.info(atom);
  // Logarithms, and what a procedure defines, compare with nothing else: UCUM only says that they are 1. A field of
  // view is counted.
  const isProcedure = isArbitrary || (atom.startsWith('[') && canonical.magnitude === 1 && atom !== '[HPF]');
  if (isSpecial || (isProcedure && definition === undefined)) return of(ONE, `[${atom}]`);
  if (definition === undefined) return of(definedNumber(canonical.magnitude));
  const number = definedNumber(canonical.magnitude / toCanonicalForm(definition).magnitude);
  return product(of(number), meaningOf(parsed(definition)));
}

function of(factor: Ratio, dimension?: string): Meaning {
  return { factor, dimensions: new Map(dimension === undefined ? [] : [[dimension, 1]]) };
}

function definedNumber(value: number): Ratio {
  return decimalRatio(value.toPrecision(DEFINITION_DIGITS));
}
