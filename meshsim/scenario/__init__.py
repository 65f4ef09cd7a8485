"""What the user says: applications, data planes, machines, scenarios. YAML in and out, no cost figures."""
