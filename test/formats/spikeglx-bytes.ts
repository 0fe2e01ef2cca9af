/** SpikeGLX metadata by hand, with the keys that the metadata guides list. */
import { bytesOf } from '../../src/core/numbers/dtype.ts';

/** A probe of the first generation with two channels of action potentials and the word of its synchronisation. */
export function probeFiles(values: Int16Array, change: Record<string, string> = {}): Record<string, Uint8Array> {
  return filesWith('run_g0_t0.imec0.ap', values, {
    typeThis: 'imec',
    imSampRate: '30000.108358',
    nSavedChans: '3',
    snsSaveChanSubset: '0:1,768',
    acqApLfSy: '384,384,1',
    snsApLfSy: '2,0,1',
    imAiRangeMax: '0.6',
    imMaxInt: '512',
    fileSizeBytes: String(values.byteLength),
    fileCreateTime: '2026-05-01T09:30:10',
    '~imroTbl': `(0,384)${Array.from({ length: 384 }, (_, i) => `(${i} 0 0 ${i === 1 ? 250 : 500} 125 1)`).join('')}`,
    '~snsChanMap': '(384,384,1)(AP0;0:0)(AP1;1:1)(SY0;768:2)',
    ...change,
  });
}

/** NI inputs: one multiplexed, one analog, one word of digital lines. */
export function niFiles(values: Int16Array): Record<string, Uint8Array> {
  return filesWith('run_g0_t0.nidq', values, {
    typeThis: 'nidq',
    niSampRate: '25000',
    nSavedChans: '3',
    snsSaveChanSubset: 'all',
    snsMnMaXaDw: '1,0,1,1',
    niAiRangeMax: '5',
    niMNGain: '200',
    niMAGain: '1',
    fileSizeBytes: String(values.byteLength),
    '~snsChanMap': '(1,0,1,1,1)(MN0C0;0:0)(XA0;1:1)(XD0;2:2)',
  });
}

function filesWith(name: string, values: Int16Array, meta: Record<string, string>): Record<string, Uint8Array> {
  const text = Object.entries(meta).map(([key, value]) => `${key}=${value}\r\n`);
  return { [`${name}.meta`]: Buffer.from(text.join('')), [`${name}.bin`]: bytesOf(values) };
}
