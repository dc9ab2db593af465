"""The light-client sync protocol of the consensus specs, Altair to Fulu: headers are believed because a sync committee signed them."""
