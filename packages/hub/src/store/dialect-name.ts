/** Where the two databases need different words. Queries do not: only tables are made differently. */
export type DialectName = "sqlite" | "postgres";
