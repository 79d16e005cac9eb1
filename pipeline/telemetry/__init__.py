"""What the processes count and measure about themselves -> metrics in Prometheus's format, if they are switched on."""
