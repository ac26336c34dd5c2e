"""What happens to licenses after they were issued: revoked, and signed with another key."""
