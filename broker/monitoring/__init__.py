"""Monitoring: the MQTT exporter, node_exporter metrics, the broker's status."""
