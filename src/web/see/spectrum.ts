/** The spectrum of what is seen: power by frequency (Welch, 1967). Pure. */

/** Power spectral density, one-sided, in unit²/Hz. */
export interface PowerSpectrum {
  readonly hz: Float64Array;
  readonly power: Float64Array;
  /** Segments that were averaged. */
  readonly segments: number;
}

/** Longest segment: 2^14 samples are transformed in about a millisecond. */
const MAX_SEGMENT = 16_384;
/** A shorter signal has no spectrum that means anything. */
const MIN_SAMPLES = 8;

/**
 * Averages the spectra of segments that overlap by half, each without its mean and under a Hann window.
 * @param values evenly spaced, in order; NaN parts the signal, and segments that have one are left out
 * @returns null: no segment is whole
 */
export function spectrumOf(values: Float64Array, rateHz: number): PowerSpectrum | null {
  let length = 1;
  while (length * 2 <= Math.min(MAX_SEGMENT, values.length / 2)) length *= 2;
  if (length < MIN_SAMPLES) return null;
  const hann = Float64Array.from({ length }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / length));
  const weight = hann.reduce((sum, each) => sum + each * each, 0);
  const half = length / 2;
  const power = new Float64Array(half + 1);
  let segments = 0;
  for (let from = 0; from + length <= values.length; from += half) {
    const segment = values.subarray(from, from + length);
    const mean = segment.reduce((sum, each) => sum + each, 0) / length;
    if (!Number.isFinite(mean)) continue;
    const re = segment.map((value, i) => (value - mean) * hann[i]);
    const im = new Float64Array(length);
    transform(re, im);
    for (let k = 0; k <= half; k++) {
      const sides = k === 0 || k === half ? 1 : 2;
      power[k] += (sides * (re[k] * re[k] + im[k] * im[k])) / (rateHz * weight);
    }
    segments++;
  }
  if (segments === 0) return null;
  return {
    hz: Float64Array.from(power, (_, k) => (k * rateHz) / length),
    power: power.map((each) => each / segments),
    segments,
  };
}

/** The discrete Fourier transform in place (Cooley and Tukey, 1965). @param re real parts, a power of two of them */
export function transform(re: Float64Array, im: Float64Array): void {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const angle = (-2 * Math.PI * k) / size;
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      for (let at = k; at < n; at += size) {
        const other = at + half;
        const real = re[other] * cos - im[other] * sin;
        const imaginary = re[other] * sin + im[other] * cos;
        re[other] = re[at] - real;
        im[other] = im[at] - imaginary;
        re[at] += real;
        im[at] += imaginary;
      }
    }
  }
}
