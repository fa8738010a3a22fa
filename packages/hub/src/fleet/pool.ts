/** A set that can also be looked into at any place, so that a few of many can be picked without walking through all. */
export class Pool<T> implements Iterable<T> {
  readonly #items: T[] = [];
  readonly #places = new Map<T, number>();

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    if (this.#places.has(item)) return;
    this.#places.set(item, this.#items.length);
    this.#items.push(item);
  }

  /** The last item takes the place of the removed one. */
  delete(item: T): void {
    const place = this.#places.get(item);
    if (place === undefined) return;
    this.#places.delete(item);
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    this.#items[place] = last;
    this.#places.set(last, place);
  }

  /** Up to `count` items, the same one perhaps twice. @param random A number in [0, 1). */
  sample(count: number, random: () => number): T[] {
    const sampled: T[] = [];
    for (let n = 0; n < count; n += 1) {
      const item = this.#items[Math.floor(random() * this.#items.length)];
      if (item !== undefined) sampled.push(item);
    }
    return sampled;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items.values();
  }
}
