"""Good manners: how both hubs are spoken to.

`client` builds what the other rooms use. Under it, `manners` answers one request by as many attempts as it
takes; `budget` is what all processes know together (`window`: a bucket's quota, `circuit`: whether a host is
left alone); `answers` reads what a hub asks for, `body` bounds what it sends, `origins` keeps tokens at home,
and `traffic` counts.
"""
