"""What a user has, in whatever form, as what the measurements take: a net, a loss, pairs, an optimizer and rules."""
