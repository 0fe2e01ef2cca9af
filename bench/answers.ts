/** Whether an answer is what was sent, bit for bit. */

/** An answer that is not; no time matters then. */
export class WrongAnswer extends Error {}

/**
 * @param npy a `.npy` document of version 1
 * @param sent little-endian float64
 * @throws WrongAnswer
 */
export function expectSame(npy: Buffer, sent: Buffer, what: string): void {
  const values = npy.subarray(10 + npy.readUInt16LE(8));
  const head = npy.subarray(0, npy.length - values.length).toString('latin1');
  if (!head.startsWith('\x93NUMPY\x01') || !head.includes(`'descr': '<f8'`)) {
    throw new WrongAnswer(`${what}: answered with the head ${JSON.stringify(head)}`);
  }
  if (!values.equals(sent)) throw new WrongAnswer(`${what}: answered other bytes than were sent`);
}
