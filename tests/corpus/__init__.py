"""What Prometheus's own tests expect of PromQL, as facts in a format of ours; see ``README.md``."""
