pullbackView({{ number }}, {{ view | tojson }});
