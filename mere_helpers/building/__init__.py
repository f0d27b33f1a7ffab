"""Building: steps on the host, packages in containers, the schedule of all, and the repository they end in."""
