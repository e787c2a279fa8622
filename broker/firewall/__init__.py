"""Firewall rules for nftables, iptables and ufw, and whether the host still has them."""
