"""The store on disk: trees of files, locks, and finished builds by the hash of what they were made from."""
