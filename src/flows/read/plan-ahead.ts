/** Makes plans one after the other, and the next few meanwhile: a small plan mostly waits for Postgres. */

/** Plans that are made at once. */
const AHEAD = 4;
/** Plans that there are at the same time: those, one that is handed over, and one that is worked off. */
export const PLANS_AT_ONCE = AHEAD + 2;
/** A plan that has waited longer is made anew: a shard that it names is removed a minute after it was replaced. */
const FRESH_MS = 10_000;

/** @param make is asked once for each item, in their order; again if the plan has become old before it was wanted */
export async function* planAhead<T, P>(
  items: readonly T[],
  make: (item: T, index: number) => Promise<P>,
): AsyncGenerator<P> {
  const begun: { readonly plan: Promise<P>; readonly at: number }[] = [];
  const begin = (index: number): void => {
    const plan = make(items[index], index);
    plan.catch(() => {}); // seen when it is awaited
    begun.push({ plan, at: Date.now() });
  };
  for (let index = 0; index < items.length; index++) {
    while (begun.length < AHEAD && index + begun.length < items.length) begin(index + begun.length);
    const { plan, at } = begun.shift()!;
    yield await (Date.now() - at > FRESH_MS ? make(items[index], index) : plan);
  }
}
