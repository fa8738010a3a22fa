/** What groups and invites may take of the hub. What is per group or user and likely to be changed is in `GroupSettings`. */
export const GROUP_LIMITS = {
  /** Characters of a group's name, and of a machine's. */
  maxNameLength: 64,
  /** Characters of a group's description. */
  maxDescriptionLength: 500,
  /** Characters of the note of an invite or a request. */
  maxNoteLength: 200,
  /** Uses of one invite. */
  maxInviteUses: 10_000,
  /** Groups that one user is a member of. */
  maxGroupsJoined: 1_000,
  /** Invites to the hub alone that could still be used. */
  maxHubInvites: 1_000,
  /** An invite that came to its end is listed so long, then dropped with the next new one. */
  endedInviteMs: 90 * 24 * 3600_000,
  /** Model names that one owner keeps in one group. More are not served there. Worst case: this times providers, 200 bytes each. */
  maxClaimsPerOwner: 2_000,
  /** Users whom a group's owner lets serve one model name besides the one who keeps it. */
  maxAlso: 100,
  /** Requests of one user to serve that wait for an answer. */
  maxRequestsPerUser: 20,
  /** Requests to serve into one group that wait for an answer. */
  maxRequestsPerGroup: 1_000,
  /** A machine that wants to join waits so long for its person. */
  deviceJoinMs: 600_000,
  /** A machine that waits asks no more often. */
  devicePollMs: 3_000,
  /** Machines that wait, of one address. */
  maxDeviceJoinsPerAddress: 10,
  /** Machines that wait with one invite. */
  maxDeviceJoinsPerInvite: 50,
  /** Machines that wait, all together. */
  maxDeviceJoins: 2_000,
  /** Owners of keys that the preview of a deletion names, and workers. */
  maxPreviewed: 100,
} as const;
