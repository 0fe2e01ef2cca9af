/** Numbers as people write them: decimal comma or point, digits in groups of three, and words that stand for none. */

export interface NumberStyle {
  readonly decimal: '.' | ',';
}

/** The same number as other readers write it. */
const PLAIN = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const PLAIN_COMMA = /^[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?$/;
const GROUPED = /^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?$/;
const GROUPED_COMMA = /^[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?$/;
/** Groups between spaces or apostrophes, as in Switzerland. */
const SPACED = /^[+-]?\d{1,3}(?:[ '’\u00A0\u202F]\d{3})+(?:[.,]\d*)?$/;
const SPACES = /[ '’\u00A0\u202F]/g;

const INFINITIES: ReadonlyMap<string, string> = new Map([
  ['inf', 'inf'],
  ['+inf', 'inf'],
  ['infinity', 'inf'],
  ['-inf', '-inf'],
  ['-infinity', '-inf'],
]);

/** A number in decimal digits with a point, or `inf` or `-inf`; undefined of a text that is no number in this style. */
export function plainNumber(text: string, { decimal }: NumberStyle): string | undefined {
  const trimmed = text.trim().replace(/^−/, '-');
  if (decimal === '.') {
    if (PLAIN.test(trimmed)) return trimmed;
    if (GROUPED.test(trimmed)) return trimmed.replaceAll(',', '');
  } else {
    if (PLAIN_COMMA.test(trimmed)) return trimmed.replace(',', '.');
    if (GROUPED_COMMA.test(trimmed)) return trimmed.replaceAll('.', '').replace(',', '.');
  }
  if (SPACED.test(trimmed) && !trimmed.includes(decimal === '.' ? ',' : '.')) {
    return trimmed.replace(SPACES, '').replace(',', '.');
  }
  return INFINITIES.get(trimmed.toLowerCase());
}

/** What a number with a comma or a point says of the style of its table; null: nothing. */
export function styleOf(text: string): '.' | ',' | 'either' | null {
  const trimmed = text.trim();
  if (!trimmed.includes(',') || !/^[+-]?[\d.,]+(?:[eE][+-]?\d+)?$/.test(trimmed)) return null;
  const asPoint = GROUPED.test(trimmed);
  const asComma = PLAIN_COMMA.test(trimmed) || GROUPED_COMMA.test(trimmed);
  // 0,123 has no group before it that anyone would write.
  if (asPoint && asComma) return /^[+-]?0/.test(trimmed) ? ',' : 'either';
  return asPoint ? '.' : asComma ? ',' : null;
}

/** Nothing was measured, and the table says so in a word. */
const MISSING = new Set(['', 'nan', 'na', 'n/a', '#n/a', '#na', 'null', 'none', 'nil', '-', '--', '---', '.', 'n.a.']);
/** What instruments and spreadsheets write in place of a number that they do not have. */
const NO_NUMBER =
  /^(?:[<>≤≥~]\s*=?\s*[+-]?[\d.,]+(?:[eE][+-]?\d+)?|over|ovr|ovf|ovrflw|ovrflow|overflow|over ?flow|overrange|over ?range|o\.?l\.?|over ?load|under|undrflw|underflow|under ?range|sat(?:urated)?|err(?:or)?|invalid|inval|bad|fail(?:ed)?|fault|missing|n\.?d\.?|#[A-Z/0]+[!?]?|\*+|\?+|#+|masked|lost|no ?data|no ?signal|---+)$/i;

/** True of an empty field, and of a word that says that there is no value. */
export function isMissingText(text: string): boolean {
  return text === '' || MISSING.has(text.trim().toLowerCase());
}

/** True of `>1000`, `OVRFLW`, `#DIV/0!` and the like, which stand where a number should be. */
export function isNoNumber(text: string): boolean {
  return NO_NUMBER.test(text.trim());
}

const TRUTH: ReadonlyMap<string, 0 | 1> = new Map([
  ['true', 1],
  ['false', 0],
  ['yes', 1],
  ['no', 0],
  ['on', 1],
  ['off', 0],
]);

/** 1 or 0 of a word that says so. */
export function truthOf(text: string): 0 | 1 | undefined {
  return TRUTH.get(text.trim().toLowerCase());
}

/**
 * A decimal number of units in whole nanoseconds, exactly, rounded to the nearest.
 * @param plain as {@link plainNumber} gives it
 */
export function decimalNs(plain: string, unitNs: bigint): bigint | undefined {
  const match = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?$/.exec(plain);
  if (!match) return undefined;
  const [, sign, whole, fraction, exponentText = '0'] = match;
  const exponent = Number(exponentText) - fraction.length;
  if (whole.length + fraction.length > 60 || Math.abs(exponent) > 60) return undefined;
  const scaled = BigInt(whole + fraction) * unitNs;
  const divisor = exponent < 0 ? 10n ** BigInt(-exponent) : 1n;
  const ns = exponent < 0 ? (scaled * 2n + divisor) / (divisor * 2n) : scaled * 10n ** BigInt(exponent);
  return sign === '-' ? -ns : ns;
}
