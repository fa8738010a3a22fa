/** The groups that a worker names, by ids or slugs. Once it served one, the name means that group, whatever is renamed. */
export class NamedGroups {
  #names: readonly string[] | undefined;
  /** Ids by name. */
  readonly #known = new Map<string, string>();

  /** @param names As announced; undefined: none are named. */
  announce(names: readonly string[] | undefined): void {
    this.#names = names && [...new Set(names)];
    for (const name of this.#known.keys()) if (this.#names?.includes(name) !== true) this.#known.delete(name);
  }

  /** The names, or the ids that they stand for; undefined: all that the key may serve. */
  get wanted(): readonly string[] | undefined {
    return this.#names?.map((name) => this.#known.get(name) ?? name);
  }

  /** The worker serves the group: the name that it has now stands for it from now on. */
  serves(groupId: string, slug: string | undefined): void {
    for (const name of this.#names ?? []) if (name === groupId || name === slug) this.#known.set(name, groupId);
  }

  /** How the worker calls what it wants: a group's id, or a name that stands for none yet. undefined: it does not name it. */
  nameOf(wanted: string): string | undefined {
    return this.#names?.find((name) => (this.#known.get(name) ?? name) === wanted);
  }
}
