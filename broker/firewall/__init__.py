"""Firewall rules for nftables, iptables and ufw, and drift on the host."""
