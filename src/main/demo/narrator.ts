/** Tells a demo step by step: what is done, how long it took, and the line that does it again. */
import { writeOut } from '../process/standard-output.ts';

export class Narrator {
  #steps = 0;

  /** Runs a step under its title, and says how long it took. */
  async step<T>(title: string, work: () => Promise<T>): Promise<T> {
    await writeOut(`\n${++this.#steps}. ${title}\n`);
    const begun = performance.now();
    const result = await work();
    await this.say(`(${duration(performance.now() - begun)})`);
    return result;
  }

  async say(text: string): Promise<void> {
    await writeOut(`   ${text}\n`);
  }
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.ceil(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
